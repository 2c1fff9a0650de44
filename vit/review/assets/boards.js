// Runs of different kinds: a button a board, and the whole page is of the one that is chosen.
const tallied = (data) => {
  const states = {};
  for (const run of data.runs) states[run.state] = (states[run.state] || 0) + 1;
  const counted = Object.entries(states).map(([state, count]) => `${count} ${state}`).join(", ");
  return `${plural(data.runs.length, "run")} (${counted}) of ${plural(data.configurations.length, "configuration")}`;
};

function boardsSection(content, show) {
  if (content.boards.length < 2) return null;
  const buttons = content.boards.map((board, at) => el("button", { onclick: () => choose(at) },
    el("b", {}, board.metric), " ", el("span", {}, board.title),
    el("span", { class: "soft small" }, tallied(board)),
    el("span", { class: "small" }, board.verdict.text)));
  function choose(at) {
    buttons.forEach((button, number) => button.setAttribute("aria-pressed", String(number === at)));
    show(content.boards[at]);
  }
  const others = content.notes.filter((note) => note !== content.about);
  const section = el("section", { id: "boards" }, el("p", { class: "soft" }, content.about), el("div", { class: "boards" }, ...buttons),
    others.length ? el("ul", { class: "notes" }, ...others.map((note) => el("li", {}, note))) : null);
  return { section, choose };
}
