// Precision by recall at an IoU of 0.5, of one class or of all.
const MOST_LINES = 8;
function precisionPart(data, chosen) {
  const rows = data.mistakes ? data.mistakes.rows.filter((row) => row.precision) : [];
  if (!rows.length) return null;
  const { classes } = data.mistakes, best = rows[0];
  const some = classes.map((name, at) => [String(at), name]).filter(([at]) => best.precision[at]);
  const options = [["mean", "the mean of the classes"], ...(some.length <= MOST_LINES ? [["each", `every class of ${best.label}`]] : []), ...some];
  let which = options[1][0] === "each" ? "each" : "mean";
  const place = el("div"), legend = el("div", { class: "legend" });
  const node = el("div", {}, el("h3", {}, "Precision by recall, at an IoU of 0.5"),
    el("div", { class: "tools" }, choice("of", options, which, (value) => { which = value; draw(); })), place, legend);
  const mean = (row) => {
    const curves = row.precision.filter(Boolean);
    return curves[0].map((_, at) => curves.reduce((sum, curve) => sum + curve[at], 0) / curves.length);
  };
  function draw() {
    const lines = which === "each"
      ? some.map(([at, name], place) => ({ kind: `c${place}`, name, values: best.precision[at] }))
      : rows.map((row) => ({ kind: chosen.kind(row.id), name: `${row.label}${row.id === data.baseline ? " (baseline)" : ""}`, values: which === "mean" ? mean(row) : row.precision[which] })).filter((line) => line.values);
    const width = Math.min(640, Math.max(280, place.clientWidth || 640));
    const c = chart({ width, height: 260, x: { range: [0, 1], label: "recall" }, y: { range: [0, 1.02] }, label: "precision by recall" });
    for (const { kind, name, values } of lines) {
      const recalls = values.map((_, at) => at / (values.length - 1));
      c.plot.append(svg("path", { class: `mean ${kind}`, d: path(recalls, values, c.X, c.Y) }, svg("title", {}, name)));
    }
    place.replaceChildren(c.root);
    legend.replaceChildren(...lines.map(({ kind, name }) => el("span", { class: kind }, el("i", { class: "key" }), name)));
  }
  return { node, draw };
}
