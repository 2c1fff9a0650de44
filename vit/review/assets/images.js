// Pictures in rows, which open large; their content is decoded when `show` is called.
let large = null;
function openLarge(pictures, at) {
  if (!large) {
    const image = el("img", {}), words = el("p", { class: "small" });
    const step = (by) => { large.at = (large.at + by + large.of.length) % large.of.length; large.draw(); };
    const close = () => dialog.close();
    const dialog = el("dialog", { class: "large", "aria-label": "picture" }, image, words,
      el("div", { class: "tools" },
        el("button", { "aria-label": "picture before", onclick: () => step(-1) }, "←"),
        el("button", { "aria-label": "next picture", onclick: () => step(1) }, "→"),
        el("button", { onclick: close }, "close")));
    dialog.addEventListener("click", (event) => { if (event.target === dialog) close(); });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") step(-1);
      if (event.key === "ArrowRight") step(1);
    });
    large = { dialog, draw() {
      const { source, words: said, sample } = large.of[large.at];
      image.src = source;
      image.alt = said;
      words.textContent = `${said} · ${sample} · ${large.at + 1} of ${large.of.length}`;
    } };
    document.body.append(dialog);
  }
  large.of = pictures;
  large.at = at;
  large.draw();
  large.dialog.showModal();
}
function pictureRow(pictures) {
  const images = pictures.map((each) => el("img", { alt: each.words, width: each.width, height: each.height }));
  const node = el("div", { class: "pictures" }, ...pictures.map((each, at) =>
    el("figure", { class: each.words === "image" && "begins" }, el("button", { title: "show it large", onclick: () => openLarge(pictures, at) }, images[at]),
      el("figcaption", {}, each.words, el("span", { class: "soft" }, each.sample)))));
  const show = () => images.forEach((image, at) => { if (!image.src) image.src = pictures[at].source; });
  return { node, show };
}
