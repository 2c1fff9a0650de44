// What mattered: shares of variance, parallel coordinates, and a slice for each setting.
function effectsSection(data, chosen) {
  const ranked = data.configurations.filter((row) => row.n);
  if (!data.factors.length || ranked.length < 2) return null;
  const section = el("section", { id: "mattered" }, el("h2", {}, "What mattered"));
  const factors = data.factors.filter((factor) => new Set(ranked.map((row) => row.settings[factor.key])).size > 1);
  const bars = el("div"), lines = el("div"), slices = el("div", { class: "grid" });
  if (data.effects) {
    section.append(el("p", { class: "soft small" }, "Share of the differences between runs that each setting explains by itself (ω²), with the middle 90 % of a bootstrap over configurations. What is left to 100 % is how settings work together."));
  }
  section.append(bars, lines, el("p", { class: "soft small" }, "A dot is a configuration, the line the mean of all with that value, whatever else they differ in."), slices);

  function drawBars() {
    if (!data.effects) return;
    const rows = data.effects.rows.slice(0, 12).map((row) => ({ ...row, name: data.factors.find((factor) => factor.key === row.key).short }));
    if (isNumber(data.effects.seeds)) rows.push({ name: "between seeds", share: data.effects.seeds, noise: true });
    const width = Math.min(720, Math.max(280, bars.clientWidth || 700)), names = Math.min(190, width * 0.38);
    const root = svg("svg", { width, height: rows.length * 26 + 4, viewBox: `0 0 ${width} ${rows.length * 26 + 4}`, role: "img", "aria-label": "shares of variance" });
    const X = scale(0, 1, names, width - 48);
    rows.forEach((row, at) => {
      const y = at * 26 + 5;
      root.append(
        svg("text", { class: "strong", x: names - 8, y: y + 13, "text-anchor": "end" }, row.name.length > 26 ? `${row.name.slice(0, 25)}…` : row.name),
        svg("rect", { class: row.noise ? "bar noise" : "bar", x: names, y, width: Math.max(1, X(row.share) - names), height: 16, rx: 3 }),
        svg("text", { x: Math.max(X(row.share), row.noise ? 0 : X(row.high)) + 6, y: y + 13 }, `${Math.round(100 * row.share)} %`));
      if (!row.noise) root.append(svg("line", { class: "whisker", x1: X(row.low), x2: X(row.high), y1: y + 8, y2: y + 8 }));
    });
    bars.replaceChildren(root);
  }
  function slice(factor) {
    const values = ranked.map((row) => row.settings[factor.key]);
    const numeric = values.every(isNumber);
    const names = numeric ? [] : [...new Set(values.map(String))];
    const xs = numeric ? values : values.map((value) => names.indexOf(String(value)));
    const log = numeric && xs.every((x) => x > 0) && Math.max(...xs) / Math.min(...xs) >= 30;
    const span = numeric ? range(xs, log) : [-0.5, names.length - 0.5], means = range(ranked.map((row) => row.mean), false);
    const kinds = [...new Set(xs)].sort((a, b) => a - b);
    const room = Math.floor(200 / names.length / 7);
    const named = names.length <= 6 ? names.map((name, at) => [at, name.length > room ? `${name.slice(0, room - 1)}…` : name]) : [];
    const marks = !numeric ? named : kinds.length <= 4 ? kinds.map((kind) => [kind, short(kind)]) : undefined;
    const c = chart({ width: 270, height: 170, x: { range: span, log, ticks: marks }, y: { range: means }, label: factor.key });
    if (kinds.length <= 12) {
      const middle = kinds.map((kind) => { const own = ranked.filter((_, at) => xs[at] === kind); return own.reduce((sum, row) => sum + row.mean, 0) / own.length; });
      c.plot.append(svg("path", { class: "front", d: path(kinds, middle, c.X, c.Y) }));
    }
    const order = ranked.map((row, at) => [row, at]).sort(([a], [b]) => chosenLast(a, b, chosen));
    order.forEach(([row, at]) => {
      c.plot.append(svg("circle", { class: `dot ${chosen.kind(row.id)}`, cx: c.X(xs[at]), cy: c.Y(row.mean), r: 4 }, svg("title", {}, `${row.label}: ${meanOf(row, data)}`)));
    });
    return el("div", {}, el("h3", { title: [factor.key, ...factor.also].join(", ") }, factor.key.replace(/\._target_$/, "")), c.root);
  }
  return { section, draw: () => { drawBars(); lines.replaceChildren(...parallel(data, chosen, lines.clientWidth || 800)); slices.replaceChildren(...factors.slice(0, 24).map(slice)); } };
}


// A line is a configuration, from setting to setting to its mean.
const MOST_AXES = 7;
function parallel(data, chosen, space) {
  const rows = data.configurations.filter((row) => row.n);
  const several = (factor) => new Set(rows.map((row) => row.settings[factor.key])).size > 1;
  const factors = data.factors.filter(several).slice(0, MOST_AXES - 1);
  if (factors.length < 2 || rows.length < 4) return [];
  const width = Math.max(280, space), height = 250, top = 34, bottom = height - 22;
  const axes = factors.map((factor) => axisOf(rows.map((row) => row.settings[factor.key]), factor.short));
  axes.push(axisOf(rows.map((row) => row.mean), data.metric));
  const edge = Math.min(70, width * 0.12);
  const X = scale(0, axes.length - 1, edge, width - edge);
  const root = svg("svg", { class: "parallel", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "settings of each configuration" });
  const order = rows.map((row, at) => [row, at]).sort(([a], [b]) => chosenLast(a, b, chosen));
  const ends = range(rows.map((row) => row.mean), false);
  for (const [row, at] of order) {
    const color = chosen.color(row.id), points = axes.map((axis, number) => `${X(number).toFixed(1)} ${(bottom + (top - bottom) * axis.places[at]).toFixed(1)}`);
    const good = (row.mean - ends[0]) / (ends[1] - ends[0]), level = Math.max(0, Math.min(4, Math.floor(5 * (data.mode === "min" ? 1 - good : good))));
    root.append(svg("path", { class: color === null ? `strand level${level}` : `mean c${color}`, d: `M${points.join("L")}` }, svg("title", {}, `${row.label}: ${meanOf(row, data)}`)));
  }
  axes.forEach((axis, at) => {
    const anchor = at === 0 && width < 500 ? "start" : at === axes.length - 1 && width < 500 ? "end" : "middle";
    const x = anchor === "start" ? 2 : anchor === "end" ? width - 2 : X(at);
    root.append(svg("line", { class: "pole", x1: X(at), x2: X(at), y1: top, y2: bottom }), svg("text", { class: "strong", x, y: 14, "text-anchor": anchor }, axis.name.length > 14 ? `${axis.name.slice(0, 13)}…` : axis.name));
    for (const [place, text] of axis.marks) {
      root.append(svg("text", { class: "mark", x: X(at) + (at === axes.length - 1 ? 6 : -6), y: bottom + (top - bottom) * place + 4, "text-anchor": at === axes.length - 1 ? "start" : "end" }, text));
    }
  });
  return [el("p", { class: "soft small" }, "A line is a configuration, through its settings to its mean; the stronger, the better."), root];
}
// Places from 0 to 1 of each value, and up to six marks.
function axisOf(values, name) {
  if (values.every(isNumber)) {
    const log = values.every((value) => value > 0) && Math.max(...values) / Math.min(...values) >= 30;
    const kinds = [...new Set(values)].sort((a, b) => a - b);
    const place = scale(kinds[0], kinds[kinds.length - 1], 0, 1, log);
    const marks = kinds.length <= 6 ? kinds : ticks(kinds[0], kinds[kinds.length - 1], log, 5);
    return { name, places: values.map((value) => (kinds.length > 1 ? place(value) : 0.5)), marks: marks.map((mark) => [kinds.length > 1 ? place(mark) : 0.5, short(mark)]) };
  }
  const names = [...new Set(values.map(String))];
  const place = (value) => (names.length > 1 ? names.indexOf(String(value)) / (names.length - 1) : 0.5);
  const marks = names.length <= 6 ? names.map((value) => [place(value), value.length > 9 ? `${value.slice(0, 8)}…` : value]) : [];
  return { name, places: values.map(place), marks };
}
