// A table that is sorted by its headings and searched by words.
// columns: {label, value(row) to sort by, cell(row) to show, kind: "number" or "wide", hint}
function makeTable(columns, rows, { name, search, rowClass } = {}) {
  let sorted = null, descending = false, words = [];
  const body = el("tbody"), heads = [];
  const told = el("span", { class: "soft small" });

  function draw() {
    const shown = rows.filter((row) => words.every((word) => textOf(row).includes(word)));
    if (sorted !== null) {
      const value = columns[sorted].value;
      shown.sort((a, b) => compare(value(a), value(b)) * (descending ? -1 : 1));
    }
    body.replaceChildren(...shown.map(rowOf));
    told.textContent = shown.length === rows.length ? `${rows.length}` : `${shown.length} of ${rows.length}`;
    heads.forEach((head, at) => {
      if (at === sorted) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }
  const texts = new Map();
  function textOf(row) {
    if (!texts.has(row)) {
      const parts = columns.map((column) => cellText(column, row));
      texts.set(row, parts.join(" ").toLowerCase());
    }
    return texts.get(row);
  }
  function rowOf(row) {
    const line = el("tr", { class: rowClass ? rowClass(row) : null });
    for (const column of columns) {
      line.append(el("td", { class: column.kind }, column.cell ? column.cell(row) : cellText(column, row)));
    }
    return line;
  }
  columns.forEach((column, at) => {
    const press = () => {
      descending = sorted === at ? !descending : column.kind === "number" && !column.lowFirst;
      sorted = at;
      draw();
    };
    const inside = column.value ? el("button", { onclick: press, title: column.hint }, column.label) : column.label;
    heads.push(el("th", { class: column.kind, scope: "col" }, inside));
  });
  const box = el("input", { type: "search", placeholder: search || "search", "aria-label": search || "search" });
  box.addEventListener("input", () => {
    words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    draw();
  });
  draw();
  const table = el("table", { id: name }, el("thead", {}, el("tr", {}, ...heads)), body);
  return {
    node: el("div", {}, el("div", { class: "tools" }, box, told), el("div", { class: "scroll" }, table)),
    draw,
  };
}
function cellText(column, row) {
  const value = column.text ? column.text(row) : column.value ? column.value(row) : "";
  return value === null || value === undefined ? "–" : String(value);
}
function compare(a, b) {
  const missing = (value) => value === null || value === undefined || Number.isNaN(value);
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}
