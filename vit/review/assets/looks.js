// What it looks at: maps of the same images, side by side for the configurations that have them.
function looksSection(data, chosen) {
  const shown = data.looks.filter((each) => each.pictures.length);
  if (!shown.length) return null;
  const rows = shown.map((each) => pictureRow(each.pictures));
  const section = el("section", { id: "looks" }, el("h2", {}, "What it looks at"),
    el("p", { class: "soft small" }, "Images of val that each run looked at when it was trained, and those that vit attend was given. Colours of features mean the same in all images of a run, and nothing across runs. A map can look right and be wrong: the page of vit attend measures how faithful it is."));
  section.append(el("div", { class: "sides" }, ...shown.map((each, at) => el("div", {},
    el("h3", { class: chosen.kind(each.id) }, el("i", { class: "key" }), ` ${each.label}${each.id === data.baseline ? " (baseline)" : ""}`, el("span", { class: "soft small" }, ` seed ${each.seed}`)),
    rows[at].node))));
  return { section, draw: () => rows.forEach((row) => row.show()) };
}
