// How it learned: the mean over seeds, and a band from the lowest seed to the highest.
const AXES = {
  steps: ["optimizer steps", () => (step) => step],
  epochs: ["epochs", (run) => run.steps_per_epoch && ((step) => step / run.steps_per_epoch)],
  time: ["training time, s (without validation)", (run) => run.clock && secondsAt(run.clock)],
  images: ["samples seen", (run) => run.images_per_step && ((step) => step * run.images_per_step)],
};
function secondsAt([steps, seconds]) {
  const xs = [0, ...steps], ys = [0, ...seconds];
  return (step) => between(xs, ys, step, true);
}
// The value at x on the line through points with ascending xs; null outside, unless `beyond`.
function between(xs, ys, x, beyond) {
  const last = xs.length - 1;
  if (last < 1) return xs[0] === x ? ys[0] : null;
  if (!beyond && (x < xs[0] || x > xs[last] * (1 + 1e-9))) return null;
  let low = 0, high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle; else high = middle;
  }
  if (ys[low] === null || ys[high] === null) return null;
  const span = xs[high] - xs[low];
  return span ? ys[low] + ((ys[high] - ys[low]) * (x - xs[low])) / span : ys[high];
}
function linesOf(data, configuration, metric, axis) {
  const found = [];
  for (const run of data.curves.runs) {
    const series = run.configuration === configuration && run.series[metric];
    const convert = series && AXES[axis][1](run);
    if (convert) found.push({ seed: run.seed, xs: data.curves.grids[series[0]].map(convert), ys: series[1], grid: series[0] });
  }
  return found;
}
function summary(lines, axis) {
  const same = axis !== "time" && lines.every((line) => line.grid === lines[0].grid);
  let xs = lines[0].xs;
  if (!same) {
    const ends = lines.map((line) => line.xs[line.xs.length - 1]).sort((a, b) => a - b);
    const low = Math.min(...lines.map((line) => line.xs[0]));
    const high = ends[Math.floor((ends.length - 1) / 2)];
    xs = Array.from({ length: 200 }, (_, at) => low + ((high - low) * at) / 199);
  }
  const mean = [], least = [], most = [];
  xs.forEach((x, at) => {
    const all = lines.map((line) => (same ? line.ys[at] : between(line.xs, line.ys, x)));
    const values = all.filter((value) => value !== null);
    const lost = same ? all.length !== values.length : !values.length;
    mean.push(lost ? null : values.reduce((a, b) => a + b, 0) / values.length);
    least.push(lost ? null : Math.min(...values));
    most.push(lost ? null : Math.max(...values));
  });
  return { xs, mean, least, most, count: lines.length };
}
function bandPath(line, X, Y) {
  let d = "", start = 0;
  const { xs, least, most } = line;
  for (let at = 0; at <= xs.length; at++) {
    if (at < xs.length && least[at] !== null && isNumber(Y(least[at])) && isNumber(X(xs[at]))) continue;
    if (at - start > 1) {
      const upper = [], lower = [];
      for (let i = start; i < at; i++) {
        upper.push(`${X(xs[i]).toFixed(1)} ${Y(most[i]).toFixed(1)}`);
        lower.push(`${X(xs[i]).toFixed(1)} ${Y(least[i]).toFixed(1)}`);
      }
      d += `M${upper.join("L")}L${lower.reverse().join("L")}Z`;
    }
    start = at + 1;
  }
  return d;
}
const MOST_BEHIND = 60;
function curvesSection(data, chosen) {
  const section = el("section", { id: "curves" }, el("h2", {}, "How it learned"));
  const metrics = data.curves.metrics;
  if (!metrics.length) return null;
  let metric = metrics[0], axis = "steps", log = false, seeds = false, others = true;
  const place = el("div"), legend = el("div", { class: "legend" }), tip = tipIn(section);
  const usable = Object.keys(AXES).filter((name) => data.curves.runs.some((run) => AXES[name][1](run)));
  const set = (change) => { change(); draw(); };
  section.append(
    el("p", { class: "soft small" }, "Line: mean over seeds. Band: from the lowest seed to the highest. Choose configurations by the circles in the leaderboard."),
    el("div", { class: "tools" },
      choice("metric", metrics.map((name) => [name, name]), metric, (value) => set(() => { metric = value; })),
      choice("x axis", usable.map((name) => [name, name]), axis, (value) => set(() => { axis = value; })),
      tickbox("log y", log, (value) => set(() => { log = value; })),
      tickbox("single seeds", seeds, (value) => set(() => { seeds = value; })),
      tickbox("the others", others, (value) => set(() => { others = value; }))),
    place, legend);

  function draw() {
    const drawn = [], behind = [];
    data.configurations.forEach((each, at) => {
      const color = chosen.color(each.id);
      if (color === null && (!others || behind.length >= MOST_BEHIND)) return;
      const lines = linesOf(data, at, metric, axis);
      if (!lines.length) return;
      const line = { each, color, lines, ...summary(lines, axis) };
      (color === null ? behind : drawn).push(line);
    });
    const all = [...drawn, ...behind];
    const ys = range(all.flatMap((line) => (line.color === null ? line.mean : [...line.least, ...line.most])), log);
    const xs = range(all.flatMap((line) => [line.xs[0], line.xs[line.xs.length - 1]]), false);
    legend.replaceChildren(...drawn.map((line) => el("span", { class: `c${line.color}` }, el("i", { class: "key" }), `${line.each.label} (${line.count})${line.each.id === data.baseline ? ", baseline" : ""}`)));
    if (!ys || !xs) {
      place.replaceChildren(el("p", { class: "soft" }, `No chosen configuration has ${metric} on this axis.`));
      return;
    }
    const width = Math.max(280, place.clientWidth || 800);
    const height = width < 500 ? 280 : 380;
    const c = chart({ width, height, x: { range: xs, label: AXES[axis][0] }, y: { range: ys, log }, label: `${metric} by ${axis}` });
    for (const line of behind) c.plot.append(svg("path", { class: "behind", d: path(line.xs, line.mean, c.X, c.Y) }));
    for (const line of drawn) {
      const own = svg("g", { class: `c${line.color}` });
      if (line.count > 1) own.append(svg("path", { class: "band", d: bandPath(line, c.X, c.Y) }));
      if (seeds) for (const one of line.lines) own.append(svg("path", { class: "seed", d: path(one.xs, one.ys, c.X, c.Y) }));
      own.append(svg("path", { class: "mean", d: path(line.xs, line.mean, c.X, c.Y) }));
      c.plot.append(own);
    }
    const guide = svg("line", { class: "guide", y1: c.top, y2: c.bottom, visibility: "hidden" });
    c.root.append(guide);
    c.root.addEventListener("pointerleave", () => { tip.hide(); guide.setAttribute("visibility", "hidden"); });
    c.root.addEventListener("pointermove", (event) => {
      const box = c.root.getBoundingClientRect();
      const px = ((event.clientX - box.left) * width) / box.width;
      if (px < c.left || px > c.right) return;
      const x = xs[0] + ((px - c.left) / (c.right - c.left)) * (xs[1] - xs[0]);
      guide.setAttribute("x1", px); guide.setAttribute("x2", px); guide.setAttribute("visibility", "visible");
      const rows = drawn.map((line) => el("div", { class: `c${line.color}` }, el("i", { class: "key" }), `${number(between(line.xs, line.mean, x))}  ${line.each.label}`));
      tip.show(event, el("div", { class: "soft" }, `${AXES[axis][0]} ${number(x)}`), ...rows);
    });
    place.replaceChildren(c.root);
  }
  return { section, draw };
}
