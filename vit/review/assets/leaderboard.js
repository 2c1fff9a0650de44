// Which is best, and is it really?
function chosenFrom(data) {
  const colors = new Map(), listeners = [];
  const ranked = data.configurations.filter((each) => each.n);
  const first = ranked.slice(0, ranked.length <= 8 ? 8 : 5).map((each) => each.id);
  if (data.baseline && !first.includes(data.baseline)) first.push(data.baseline);
  first.forEach((id, at) => colors.set(id, at));
  return {
    color: (id) => (colors.has(id) ? colors.get(id) : null),
    kind: (id) => (colors.has(id) ? `c${colors.get(id)}` : "other"),
    toggle(id) {
      if (!colors.delete(id)) {
        const taken = [...colors.values()];
        let free = [0, 1, 2, 3, 4, 5, 6, 7].find((color) => !taken.includes(color));
        if (free === undefined) {
          const oldest = colors.keys().next().value;
          free = colors.get(oldest);
          colors.delete(oldest);
        }
        colors.set(id, free);
      }
      listeners.forEach((listener) => listener());
    },
    changed: (listener) => listeners.push(listener),
  };
}
function verdictSection(data) {
  const tags = { clear: "told apart", unclear: "not settled", nothing: "nothing to compare" };
  const { kind, text, advice } = data.verdict;
  return el("section", { class: `verdict ${kind}`, id: "verdict" },
    el("div", { class: "tag" }, tags[kind]),
    el("p", { class: "text" }, text),
    advice ? el("p", { class: "soft" }, advice) : null,
    data.notes.length ? el("ul", { class: "notes" }, ...data.notes.map((note) => el("li", {}, note))) : null);
}
function whisker(row, span) {
  const width = 150, height = 18, middle = height / 2;
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  if (!row.n || !span) return root;
  const X = scale(...span, 5, width - 5), inside = (x) => Math.max(1, Math.min(width - 1, x));
  if (isNumber(row.half)) {
    root.append(svg("line", { class: "whisker", x1: inside(X(row.mean - row.half)), x2: inside(X(row.mean + row.half)), y1: middle, y2: middle }));
  }
  for (const value of Object.values(row.values)) {
    root.append(svg("rect", { class: "tick", x: inside(X(value)) - 1, y: 3, width: 2, height: 12 }));
  }
  root.append(svg("circle", { class: "dot", cx: inside(X(row.mean)), cy: middle, r: 4 }));
  return root;
}
function leaderboardSection(data, chosen) {
  const rows = data.configurations, worst = rows.length;
  rows.forEach((row, at) => { row.rank = row.n ? at + 1 : worst + 1; });
  const span = range(rows.flatMap((row) => Object.values(row.values)), false);
  const lowFirst = data.mode === "min";
  const difference = (row) => row.to_baseline;
  const split = data.factors.length > 0 && data.factors.length <= 4;
  const settings = !split ? [{ label: "configuration", kind: "wide", value: (row) => row.label }]
    : data.factors.map((factor) => ({
      label: factor.short, hint: [factor.key, ...factor.also].join(", "),
      value: (row) => row.settings[factor.key], kind: rows.every((row) => isNumber(row.settings[factor.key])) ? "number" : "wide", lowFirst: true,
      text: (row) => { const value = row.settings[factor.key]; return isNumber(value) ? String(Number(value.toPrecision(6))) : String(value); },
    }));
  const columns = [
    { label: "", cell: (row) => el("button", { class: `swatch ${chosen.kind(row.id)}`, title: "show in the pictures", "aria-label": `show ${row.label} in the pictures`, "aria-pressed": String(chosen.color(row.id) !== null), onclick: () => chosen.toggle(row.id) }), text: () => "" },
    { label: "#", kind: "number", lowFirst: true, value: (row) => row.rank, text: (row) => (row.n ? row.rank : "–") },
    { label: data.metric, kind: "number", lowFirst, value: (row) => row.mean, text: (row) => withHalf(row.mean, row.half), hint: "mean ± half of the 95 % interval, over seeds" },
    ...settings,
    { label: "seeds", kind: "number", value: (row) => row.n },
    ...(rows.some((row) => row.samples.length) ? [{ label: `${data.unit}s`, kind: "number", value: (row) => row.samples[0], text: (row) => (row.samples.length ? [...new Set([row.samples[0], row.samples[row.samples.length - 1]])].map((size) => size.toLocaleString("en")).join(" to ") : "–"), hint: "how many the metric was measured on" }] : []),
    { label: "seeds, mean, 95 %", cell: (row) => el("span", { class: chosen.kind(row.id) }, whisker(row, span)), text: () => "" },
  ];
  if (rows.length > 1) columns.push(
    { label: "to the best", value: (row) => (row.rank === 1 ? 2 : row.p_to_best), hint: "p that it is as good as the best, corrected for the number of configurations",
      text: (row) => (!row.n ? "" : row.rank === 1 ? "best mean" : row.tied ? (row.p_to_best === null ? "not known" : `tied, p ${pValue(row.p_to_best)}`) : `worse, p ${pValue(row.p_to_best)}`) },
    { label: "to the baseline", kind: "number", value: (row) => difference(row) && difference(row).value, hint: "mean difference on common seeds ± half of its 95 % interval",
      text: (row) => (row.id === data.baseline ? "baseline" : difference(row) ? signed(difference(row).value, difference(row).half) : "–") },
    { label: "p", kind: "number", lowFirst: true, value: (row) => row.p_to_baseline, text: (row) => (row.id === data.baseline ? "" : pValue(row.p_to_baseline)), hint: "of no difference to the baseline, corrected for the number of configurations" },
  );
  if (rows.some((row) => row.test)) {
    columns.push({ label: data.metric.replace("val/", "test/"), kind: "number", value: (row) => row.test && row.test.mean, text: (row) => (row.test ? `${withHalf(row.test.mean, row.test.half)} (${measuredOn(row.test.n, row.test.samples, data.unit, row.n)})` : "–"), hint: "read once, after selection; nothing here is chosen by it" });
  }
  columns.push(...costColumns(data, rows, (row) => row.costs));
  const unfinished = (row) => Object.entries(row.states).filter(([state]) => state !== "done").map(([state, count]) => `${count} ${state}`).join(", ");
  if (rows.some(unfinished)) columns.push({ label: "not done", value: unfinished, text: unfinished });
  const table = makeTable(columns, [...rows], { name: "leaderboard", search: "search configurations", rowClass: (row) => (row.rank === 1 ? "first" : null) });
  chosen.changed(table.draw);
  const better = lowFirst ? "lower is better" : "higher is better";
  return el("section", { id: "best" }, el("h2", {}, "Which is best?"),
    el("p", { class: "soft small" }, `By ${data.metric} at the selected checkpoint, ${better}; mean over seeds ± 95 % interval (Student).`),
    clockNote(data), table.node, perImage(data));
}
