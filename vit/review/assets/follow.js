// While runs go on: loads the page again when `vit report --watch` has written a later one, and
// puts it back as it stood. A picture beside the page says by its size which one is the latest.
const LOOK_MILLISECONDS = 1000;
const PLACE = `vit report ${location.pathname}`;
const stored = (key) => { try { return sessionStorage.getItem(`${PLACE} ${key}`); } catch { return null; } };
const store = (key, value) => { try { sessionStorage.setItem(`${PLACE} ${key}`, value); return true; } catch { return false; } };
let touched = false; // whether a person has chosen what is drawn
document.addEventListener("click", (event) => { touched = touched || (event.isTrusted && event.target.closest(".swatch") !== null); });

const every = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const fields = () => every("section").flatMap((section) => every("input, select", section).map((field, at) => [`${section.id} ${at}`, field]));
const sorted = () => every("table[id]").map((table) => [table.id, every("th[aria-sort]", table)[0]]).filter(([, head]) => head);
const swatches = () => every(".swatch");

function standing() {
  const focused = fields().find(([, field]) => field === document.activeElement);
  return {
    theme: document.documentElement.dataset.theme || "",
    board: every("#boards button").findIndex((button) => button.getAttribute("aria-pressed") === "true"),
    fields: fields().map(([key, field]) => [key, field.type === "checkbox" ? field.checked : field.value]),
    sorted: sorted().map(([id, head]) => [id, head.textContent, head.getAttribute("aria-sort")]),
    chosen: touched ? swatches().map((swatch) => [swatch.getAttribute("aria-label"), swatch.getAttribute("aria-pressed")]) : null,
    details: every("details").map((each) => [each.querySelector("summary").textContent, each.open]),
    drawn: [...near].map((section) => section.id),
    boxes: every(".scroll").map((box) => [box.scrollTop, box.scrollLeft]),
    focused: focused ? focused[0] : null,
    at: [window.scrollX, window.scrollY],
  };
}
function restore(was) {
  if (was.theme) document.documentElement.dataset.theme = was.theme;
  const buttons = every("#boards button");
  if (was.board > 0 && buttons[was.board]) buttons[was.board].click();
  for (const section of draws.keys()) {
    if (!was.drawn.includes(section.id) || near.has(section)) continue;
    near.add(section);
    draws.get(section)();
  }
  const now = new Map(fields());
  for (const [key, value] of was.fields) {
    const field = now.get(key);
    if (!field || (field.type === "checkbox" ? field.checked : field.value) === value) continue;
    const before = field.value;
    if (field.type === "checkbox") field.checked = value; else field.value = value;
    if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = before; // no such choice any more
    else field.dispatchEvent(new Event(field.type === "search" ? "input" : "change"));
  }
  for (const [id, name, direction] of was.sorted) {
    const head = every(`table[id="${id}"] th`).find((each) => each.textContent === name);
    for (let press = 0; press < 2 && head && head.getAttribute("aria-sort") !== direction; press++) head.querySelector("button").click();
  }
  for (const [name, pressed] of was.chosen || []) {
    touched = true;
    const swatch = swatches().find((each) => each.getAttribute("aria-label") === name);
    if (swatch && swatch.getAttribute("aria-pressed") !== pressed) swatch.click();
  }
  const open = new Map(was.details);
  for (const each of every("details")) {
    const told = open.get(each.querySelector("summary").textContent);
    if (told !== undefined) each.open = told;
  }
  every(".scroll").forEach((box, at) => { if (was.boxes[at]) [box.scrollTop, box.scrollLeft] = was.boxes[at]; });
  if (was.focused && now.get(was.focused)) now.get(was.focused).focus({ preventScroll: true });
  window.scrollTo(...was.at);
}
const isCopying = () => String(window.getSelection()) !== "";
function again() {
  if (!isCopying() && store("stood", JSON.stringify(standing()))) location.reload();
}
function look() {
  const picture = new Image();
  picture.onload = () => {
    if ((picture.naturalWidth - 1) * content.follow.steps + picture.naturalHeight - 1 > content.follow.number) again();
  };
  // Gone with the end of the watch: what lies here now is the last page, which follows nothing.
  picture.onerror = () => {
    if (stored("lost") === content.created) clearInterval(looking);
    else if (!isCopying() && store("lost", content.created)) again();
  };
  picture.src = `${encodeURIComponent(content.follow.file)}?${Date.now()}`;
}
const stood = stored("stood");
if (stood) {
  try { sessionStorage.removeItem(`${PLACE} stood`); restore(JSON.parse(stood)); } catch (error) { console.warn(error); }
}
const looking = content.follow ? setInterval(look, LOOK_MILLISECONDS) : null;
