// What it gets wrong: the tables, precision by recall, and the worst mistakes as pictures.
function wrongSection(data, chosen) {
  const albums = data.pictures.filter((each) => each.pictures.length);
  let section = mistakesSection(data, chosen);
  if (!section && !albums.length) return null;
  section = section || el("section", { id: "wrong" }, el("h2", {}, "What it gets wrong"));
  const precision = precisionPart(data, chosen);
  if (precision) section.append(precision.node);
  const rows = albums.map((each) => {
    const row = pictureRow(each.pictures);
    const where = each.split === "test" ? "test samples, at the selected checkpoint" : `${each.split} samples, after ${number(each.step)} steps`;
    section.append(
      el("h3", { class: chosen.kind(each.id) }, el("i", { class: "key" }), ` Worst mistakes of ${each.label}${each.id === data.baseline ? " (baseline)" : ""}`),
      el("p", { class: "soft small" }, `Seed ${each.seed}, ${where}; the worst first.${each.left_out ? ` ${each.left_out} more are in its folder.` : ""}`));
    if (each.legend.length) section.append(el("div", { class: "legend" }, ...each.legend.map(legendKey)));
    section.append(row.node);
    return row;
  });
  return { section, draw: () => { if (precision) precision.draw(); rows.forEach((row) => row.show()); } };
}
function legendKey([words, color]) {
  const key = el("i", { class: "key" });
  if (/^#[0-9a-f]{6}$/.test(color)) key.style.background = color;
  return el("span", {}, key, words);
}
