// Elements are made from values, never from markup: whatever a run has logged stays text.
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children) {
    if (child !== null && child !== undefined) node.append(child);
  }
  return node;
}
const el = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

function number(value) {
  if (!isNumber(value)) return "–";
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(2);
  if (size >= 1000) return value.toLocaleString("en", { maximumFractionDigits: 0 });
  return String(Number(value.toPrecision(4)));
}
function withHalf(value, half) {
  if (!isNumber(value)) return "–";
  if (!isNumber(half)) return number(value);
  if (half === 0) return `${number(value)} ± 0`;
  const digits = Math.min(8, Math.max(0, 1 - Math.floor(Math.log10(half))));
  return `${value.toFixed(digits)} ± ${half.toFixed(digits)}`;
}
const signed = (value, half) => (value > 0 ? "+" : "") + withHalf(value, half).replace("-", "−");
const pValue = (p) => (!isNumber(p) ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
// `3 seeds, 196 images`: what a mean is of; sizes differ where runs were measured on different data.
// Where the same row has said `told` seeds already, they are not said again.
function measuredOn(n, samples, unit, told) {
  const known = samples && samples.length;
  const sizes = known ? [...new Set([samples[0], samples[samples.length - 1]])].map((size) => size.toLocaleString("en")).join(" to ") : "";
  const of = known ? `${sizes} ${unit}${samples.length === 1 && samples[0] === 1 ? "" : "s"}` : "";
  return known && n === told ? of : [plural(n, "seed"), of].filter(Boolean).join(", ");
}
const meanOf = (row, data) => `${withHalf(row.mean, row.half)} (${measuredOn(row.n, row.samples, data.unit)})`;
function clock(seconds) {
  if (!isNumber(seconds)) return "–";
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600);
  const rest = `${Math.floor((whole % 3600) / 60)}:${String(whole % 60).padStart(2, "0")}`;
  return hours ? `${hours}:${rest.padStart(5, "0")}` : rest;
}

function choice(label, options, chosen, change) {
  const select = el("select", { onchange: () => change(select.value) });
  for (const [value, text] of options) {
    select.append(el("option", { value, selected: value === chosen }, text));
  }
  return el("label", {}, label, select);
}
function tickbox(label, checked, change) {
  const input = el("input", { type: "checkbox", onchange: () => change(input.checked) });
  input.checked = checked;
  return el("label", {}, input, label);
}
