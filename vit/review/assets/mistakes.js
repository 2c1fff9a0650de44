// What the best and the baseline get wrong.
const MOST_CELLS = 30; // classes of a matrix that can be read
const MOST_PAIRS = 12;
function mistakesSection(data, chosen) {
  const told = data.mistakes;
  if (!told) return null;
  const section = el("section", { id: "wrong" }, el("h2", {}, "What it gets wrong"),
    el("p", { class: "soft small" }, `On the test split, at the selected checkpoint: ${told.rows.map((row) => `${row.label} (${row.runs} ${row.runs > 1 ? "seeds" : "seed"}${row.id === data.baseline ? ", baseline" : ""})`).join(" and ")}. None of this took part in the selection.`));
  const rows = told.classes.map((name, at) => ({ name, images: told.images && told.images[at], scores: told.rows.map((row) => row.scores[at]), more: told.rows.map((row) => Object.values(row.more).map((values) => values[at])) }));
  const columns = [
    { label: "class", kind: "wide", value: (row) => row.name },
    ...(told.images ? [{ label: told.unit, kind: "number", value: (row) => row.images, text: (row) => number(row.images) }] : []),
    ...told.rows.map((each, at) => ({ label: told.rows.length > 1 ? (each.id === data.baseline ? "baseline" : "best") : told.score, hint: each.label, kind: "number", lowFirst: true, value: (row) => row.scores[at], text: (row) => number(row.scores[at]) })),
  ];
  if (told.rows.length > 1) columns.push({ label: "difference", kind: "number", lowFirst: true, value: (row) => gain(row), text: (row) => (isNumber(gain(row)) ? signed(gain(row)) : "–") });
  told.rows.forEach((each, at) => Object.keys(each.more).forEach((word, place) => {
    const label = told.rows.length > 1 ? `${word}, ${each.id === data.baseline ? "baseline" : "best"}` : word;
    columns.push({ label, hint: each.label, kind: "number", lowFirst: true, value: (row) => row.more[at][place], text: (row) => number(row.more[at][place]) });
  }));
  const table = makeTable(columns, rows, { name: "classes", search: "search classes" });
  const best = told.rows[0];
  const right = el("div");
  if (best.calibration.length) right.append(el("h3", {}, "Is it as sure as it is right?"), ...calibration(told.rows, data, chosen));
  if (best.confusion) right.append(el("h3", {}, `Taken for another: ${best.label}`), told.classes.length <= MOST_CELLS ? matrix(told.classes, best.confusion) : "", pairs(told.classes, best.confusion));
  section.append(right.childNodes.length ? el("div", { class: "two" }, el("div", {}, el("h3", {}, `${told.score} of each class`), table.node), right) : table.node);
  return section;
}
const gain = (row) => (isNumber(row.scores[0]) && isNumber(row.scores[1]) ? row.scores[0] - row.scores[1] : null);

function calibration(rows, data, chosen) {
  const c = chart({ width: 400, height: 250, x: { range: [0, 1], label: "confidence" }, y: { range: [0, 1] }, label: "accuracy by confidence" });
  c.plot.append(svg("line", { class: "guide", x1: c.X(0), y1: c.Y(0), x2: c.X(1), y2: c.Y(1) }));
  const lines = [];
  rows.forEach((row) => {
    let images = 0, gap = 0;
    const most = Math.max(...row.calibration.map((bin) => bin.images));
    for (const bin of row.calibration) {
      images += bin.images;
      gap += bin.images * (bin.confidence - bin.accuracy);
      c.plot.append(svg("circle", { class: `dot ${chosen.kind(row.id)}`, cx: c.X(bin.confidence), cy: c.Y(bin.accuracy), r: 2.5 + 5 * Math.sqrt(bin.images / most) }, svg("title", {}, `${row.label}: ${bin.images} samples, confidence ${number(bin.confidence)}, right ${number(bin.accuracy)}`)));
    }
    const mean = gap / images, size = Math.abs(mean).toFixed(3);
    const verdict = Math.abs(mean) < 0.005 ? "about as sure as it is right" : mean > 0 ? `surer than right by ${size}` : `less sure than right by ${size}`;
    lines.push(el("div", { class: `${chosen.kind(row.id)} small` }, el("i", { class: "key" }), ` ${row.label}${row.id === data.baseline ? " (baseline)" : ""}: ${verdict}`));
  });
  return [c.root, ...lines, el("p", { class: "soft small" }, "A dot is a bin of samples, larger for more; below the dashed line it is too sure.")];
}
function matrix(classes, counts) {
  const side = Math.max(14, Math.min(30, Math.floor(330 / classes.length))), left = 74, top = 8;
  const size = classes.length * side;
  const root = svg("svg", { width: left + size + 4, height: top + size + 64, viewBox: `0 0 ${left + size + 4} ${top + size + 64}`, role: "img", "aria-label": "confusion matrix" });
  const brief = (name) => (name.length > 10 ? `${name.slice(0, 9)}…` : name);
  counts.forEach((row, true_) => {
    const total = row.reduce((a, b) => a + b, 0);
    root.append(svg("text", { x: left - 6, y: top + (true_ + 0.5) * side + 4, "text-anchor": "end" }, brief(classes[true_])));
    row.forEach((count, guess) => {
      if (!count) return;
      const share = count / total, x = left + guess * side, y = top + true_ * side;
      root.append(svg("rect", { class: true_ === guess ? "cell" : "cell wrong", x, y, width: side - 1, height: side - 1, rx: 2, opacity: (0.08 + 0.85 * Math.sqrt(share)).toFixed(3) }, svg("title", {}, `${classes[true_]} taken for ${classes[guess]}: ${count} of ${total}`)));
      if (side >= 26) root.append(svg("text", { class: "on", x: x + side / 2, y: y + side / 2 + 4, "text-anchor": "middle" }, short(count)));
    });
  });
  classes.forEach((name, at) => {
    const x = left + (at + 0.5) * side, y = top + size + 12;
    root.append(svg("text", { x, y, "text-anchor": "end", transform: `rotate(-45 ${x} ${y})` }, brief(name)));
  });
  return root;
}
function pairs(classes, counts) {
  const found = [];
  counts.forEach((row, at) => {
    const total = row.reduce((a, b) => a + b, 0);
    row.forEach((count, guess) => { if (count && guess !== at) found.push({ at, guess, count, total }); });
  });
  found.sort((a, b) => b.count - a.count);
  if (!found.length) return el("p", { class: "soft" }, "No sample was taken for another class.");
  return el("p", { class: "small" }, found.slice(0, MOST_PAIRS).map((each) => `${classes[each.at]} → ${classes[each.guess]} ${each.count} of ${each.total}`).join(" · "));
}
