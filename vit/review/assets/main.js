const content = JSON.parse(document.getElementById("data").textContent);
const page = document.querySelector("main");
const theme = el("button", { "aria-label": "light or dark", onclick: () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
} }, "◐");
const read = `read ${content.created.slice(0, 16).replace("T", " ")} UTC`;
const said = el("div", { class: "soft small" }), board = el("div", { id: "board" });
const choice_of_board = boardsSection(content, show);
page.replaceChildren(
  el("header", {}, el("div", {}, el("h1", {}, content.title), said), theme),
  ...(choice_of_board ? [choice_of_board.section] : []), board);

// Pictures are drawn when they come near the window, and again when its width has changed.
let draws = new Map(), near = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting && draws.has(entry.target) && !near.has(entry.target)) {
      near.add(entry.target);
      draws.get(entry.target)();
    }
  }
}, { rootMargin: "400px" });
const redraw = () => near.forEach((section) => draws.get(section)());
let width = window.innerWidth, waiting = 0;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(redraw, 120);
});
window.addEventListener("beforeprint", () => draws.forEach((draw) => draw()));

function show(chosen_board) {
  // One configuration is nobody's baseline.
  const data = chosen_board.configurations.length > 1 ? chosen_board : { ...chosen_board, baseline: null };
  const chosen = chosenFrom(data);
  const drawn = [effectsSection(data, chosen), curvesSection(data, chosen), costSection(data, chosen), wrongSection(data, chosen), looksSection(data, chosen)];
  const sections = [
    [null, verdictSection(data)],
    ["which is best", leaderboardSection(data, chosen)],
    ["what mattered", drawn[0] && drawn[0].section],
    ["how it learned", drawn[1] && drawn[1].section],
    ["what it costs", drawn[2] && drawn[2].section],
    ["what it gets wrong", drawn[3] && drawn[3].section],
    ["what it looks at", drawn[4] && drawn[4].section],
    ["what failed", failuresSection(data)],
    ["all runs", runsSection(data)],
    ["how to get it again", againSection(data)],
  ].filter(([, section]) => section);
  said.textContent = choice_of_board ? read : `${tallied(data)}, ${read}`;
  board.replaceChildren(
    el("nav", {}, ...sections.filter(([name]) => name).map(([name, section]) => el("a", { href: `#${section.id}` }, name))),
    ...sections.map(([, section]) => section));
  watcher.disconnect();
  near = new Set();
  draws = new Map(drawn.filter(Boolean).map((each) => [each.section, each.draw]));
  for (const section of draws.keys()) watcher.observe(section);
  chosen.changed(redraw);
}
if (choice_of_board) choice_of_board.choose(0);
else show(content.boards[0]);
