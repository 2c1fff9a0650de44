// Axes and scales for a drawing of `width` pixels; marks are put into `plot`.
function scale(low, high, from, to, log) {
  const of = log ? Math.log10 : (value) => value;
  const a = of(low), b = of(high);
  return (value) => from + ((of(value) - a) / (b - a || 1)) * (to - from);
}
function ticks(low, high, log, most) {
  if (log) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const digit of Math.log10(high / low) < 1.5 ? [1, 2, 5] : [1]) found.push(digit * 10 ** power);
    }
    const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
    const each = Math.ceil(inside.length / most);
    return inside.filter((_, at) => at % each === 0);
  }
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((digit) => digit * power).find((size) => size >= rough);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) found.push(at * step);
  return found;
}
function short(value) {
  const size = Math.abs(value);
  for (const [power, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= power) return `${Number((value / power).toPrecision(3))}${letter}`;
  }
  return size !== 0 && size < 1e-3 ? value.toExponential(0) : String(Number(value.toPrecision(3)));
}
function range(values, log) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (!isNumber(value) || (log && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return null;
  if (low === high) return log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const room = log ? (high / low) ** 0.04 : (high - low) * 0.05;
  return log ? [low / room, high * room] : [low - room, high + room];
}
// x and y: {range: [low, high], log, label, ticks: [[place, text]…] in place of numbers}
function chart({ width, height, x, y, label }) {
  const left = 52, right = 12, top = 8, bottom = x.label ? 40 : 24;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  const X = scale(...x.range, left, width - right, x.log);
  const Y = scale(...y.range, height - bottom, top, y.log);
  for (const value of ticks(...y.range, y.log, 5)) {
    root.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: Y(value), y2: Y(value) }));
    root.append(svg("text", { x: left - 7, y: Y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  const places = x.ticks || ticks(...x.range, x.log, Math.max(2, Math.floor(width / 85))).map((v) => [v, short(v)]);
  for (const [value, text] of places) {
    root.append(svg("text", { x: X(value), y: height - bottom + 17, "text-anchor": "middle" }, text));
  }
  if (x.label) {
    root.append(svg("text", { x: width - right, y: height - 5, "text-anchor": "end" }, x.label));
  }
  const plot = svg("g");
  root.append(plot);
  return { root, plot, X, Y, left, right: width - right, top, bottom: height - bottom };
}
// Points that are no numbers interrupt the line.
function path(xs, ys, X, Y) {
  let d = "", open = false;
  for (let at = 0; at < xs.length; at++) {
    const a = X(xs[at]), b = isNumber(ys[at]) ? Y(ys[at]) : NaN;
    if (!isNumber(a) || !isNumber(b)) { open = false; continue; }
    d += `${open ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`;
    open = true;
  }
  return d;
}
function tipIn(section) {
  const tip = el("div", { class: "tip", hidden: true });
  section.append(tip);
  return {
    hide: () => { tip.hidden = true; },
    show: (event, ...children) => {
      tip.replaceChildren(...children);
      tip.hidden = false;
      const box = section.getBoundingClientRect();
      const at = event.clientX - box.left, wide = tip.offsetWidth;
      tip.style.left = `${Math.max(4, at + wide + 24 > box.width ? at - wide - 14 : at + 14)}px`;
      tip.style.top = `${event.clientY - box.top + 12}px`;
    },
  };
}
