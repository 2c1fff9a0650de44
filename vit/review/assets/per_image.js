// The best against another, image by image.
function perImage(data) {
  const told = data.per_image;
  if (!told) return null;
  const body = told.seeds.map((row) => el("tr", {}, ...[row.seed, row.images.toLocaleString("en"), row.both.toLocaleString("en"), row.only_a, row.only_b, row.neither, pValue(row.p), pValue(row.p_corrected)].map((value) => el("td", { class: "number" }, String(value)))));
  const heads = ["seed", "samples", "both right", "only the best", "only the other", "neither", "p", "p, corrected"];
  return el("details", { id: "per-image" },
    el("summary", {}, `Sample by sample: ${told.text}`),
    el("p", { class: "soft small" }, `${told.a_label} against ${told.b_label}${told.b === data.baseline ? ", the baseline" : ""}, on the same ${told.split} samples with the same seed. Exact McNemar test of each seed's two models, corrected for the number of seeds (Holm). It tells of these trained models, not of the recipes: how far seeds differ is not in it, and the seeds look at the same samples, so no p is given for their sum (${told.only_a} against ${told.only_b}). It decides nothing above.`),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { class: "number", scope: "col" }, head)))), el("tbody", {}, ...body))));
}
