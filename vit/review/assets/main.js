const data = JSON.parse(document.getElementById("data").textContent);
const page = document.querySelector("main");
const chosen = chosenFrom(data);
const drawn = [effectsSection(data, chosen), curvesSection(data, chosen), costSection(data, chosen), wrongSection(data, chosen), looksSection(data, chosen)];

const states = {};
for (const run of data.runs) states[run.state] = (states[run.state] || 0) + 1;
const counted = Object.entries(states).map(([state, count]) => `${count} ${state}`).join(", ");
const theme = el("button", { "aria-label": "light or dark", onclick: () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
} }, "◐");

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
page.replaceChildren(
  el("header", {},
    el("div", {}, el("h1", {}, data.title),
      el("div", { class: "soft small" }, `${plural(data.runs.length, "run")} (${counted}) of ${plural(data.configurations.length, "configuration")}, read ${data.created.slice(0, 16).replace("T", " ")} UTC`)),
    theme),
  el("nav", {}, ...sections.filter(([name]) => name).map(([name, section]) => el("a", { href: `#${section.id}` }, name))),
  ...sections.map(([, section]) => section));

// Pictures are drawn when they come near the window, and again when its width has changed.
const near = new Set();
const draws = new Map(drawn.filter(Boolean).map((each) => [each.section, each.draw]));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting && !near.has(entry.target)) {
      near.add(entry.target);
      draws.get(entry.target)();
    }
  }
}, { rootMargin: "400px" });
for (const section of draws.keys()) watcher.observe(section);
const redraw = () => near.forEach((section) => draws.get(section)());
chosen.changed(redraw);
let width = window.innerWidth, waiting = 0;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(redraw, 120);
});
window.addEventListener("beforeprint", () => draws.forEach((draw) => draw()));
