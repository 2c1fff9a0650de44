// What mattered, what it costs, what failed, all runs, and how to get them again.
function effectsSection(data, chosen) {
  const ranked = data.configurations.filter((row) => row.n);
  if (!data.factors.length || ranked.length < 2) return null;
  const section = el("section", { id: "mattered" }, el("h2", {}, "What mattered"));
  const bars = el("div"), slices = el("div", { class: "grid" });
  if (data.effects) {
    section.append(el("p", { class: "soft small" }, "Share of the differences between runs that each setting explains by itself (ω²), with the middle 90 % of a bootstrap over configurations. What is left to 100 % is how settings work together."));
  }
  section.append(bars, el("p", { class: "soft small" }, "A dot is a configuration, the line the mean of all with that value, whatever else they differ in."), slices);

  function drawBars() {
    if (!data.effects) return;
    const rows = data.effects.rows.slice(0, 12).map((row) => ({ ...row, name: data.factors.find((factor) => factor.key === row.key).short }));
    if (isNumber(data.effects.seeds)) rows.push({ name: "between seeds", share: data.effects.seeds, noise: true });
    const width = Math.min(720, Math.max(280, bars.clientWidth || 700)), names = Math.min(190, width * 0.38);
    const root = svg("svg", { width, height: rows.length * 26 + 4, viewBox: `0 0 ${width} ${rows.length * 26 + 4}`, role: "img", "aria-label": "shares of variance" });
    const X = scale(0, 1, names, width - 48);
    rows.forEach((row, at) => {
      const y = at * 26 + 5;
      root.append(
        svg("text", { class: "strong", x: names - 8, y: y + 13, "text-anchor": "end" }, row.name.length > 26 ? `${row.name.slice(0, 25)}…` : row.name),
        svg("rect", { class: row.noise ? "bar noise" : "bar", x: names, y, width: Math.max(1, X(row.share) - names), height: 16, rx: 3 }),
        svg("text", { x: Math.max(X(row.share), row.noise ? 0 : X(row.high)) + 6, y: y + 13 }, `${Math.round(100 * row.share)} %`));
      if (!row.noise) root.append(svg("line", { class: "whisker", x1: X(row.low), x2: X(row.high), y1: y + 8, y2: y + 8 }));
    });
    bars.replaceChildren(root);
  }
  function slice(factor) {
    const values = ranked.map((row) => row.settings[factor.key]);
    const numeric = values.every(isNumber);
    const names = numeric ? [] : [...new Set(values.map(String))];
    const xs = numeric ? values : values.map((value) => names.indexOf(String(value)));
    const log = numeric && xs.every((x) => x > 0) && Math.max(...xs) / Math.min(...xs) >= 30;
    const span = numeric ? range(xs, log) : [-0.5, names.length - 0.5], means = range(ranked.map((row) => row.mean), false);
    const kinds = [...new Set(xs)].sort((a, b) => a - b);
    const named = names.length <= 6 ? names.map((name, at) => [at, name.length > 12 ? `${name.slice(0, 11)}…` : name]) : [];
    const marks = !numeric ? named : kinds.length <= 4 ? kinds.map((kind) => [kind, short(kind)]) : undefined;
    const c = chart({ width: 270, height: 170, x: { range: span, log, ticks: marks }, y: { range: means }, label: factor.key });
    if (kinds.length <= 12) {
      const middle = kinds.map((kind) => { const own = ranked.filter((_, at) => xs[at] === kind); return own.reduce((sum, row) => sum + row.mean, 0) / own.length; });
      c.plot.append(svg("path", { class: "front", d: path(kinds, middle, c.X, c.Y) }));
    }
    const order = ranked.map((row, at) => [row, at]).sort(([a], [b]) => chosenLast(a, b, chosen));
    order.forEach(([row, at]) => {
      c.plot.append(svg("circle", { class: `dot ${chosen.kind(row.id)}`, cx: c.X(xs[at]), cy: c.Y(row.mean), r: 4 }, svg("title", {}, `${row.label}: ${number(row.mean)}`)));
    });
    return el("div", {}, el("h3", { title: [factor.key, ...factor.also].join(", ") }, factor.key.replace(/\._target_$/, "")), c.root);
  }
  return { section, draw: () => { drawBars(); slices.replaceChildren(...data.factors.slice(0, 24).map(slice)); } };
}

const chosenLast = (a, b, chosen) => (chosen.color(a.id) !== null) - (chosen.color(b.id) !== null);

function costSection(data, chosen) {
  if (!data.costs.length) return null;
  const section = el("section", { id: "cost" }, el("h2", {}, "What it costs"));
  const place = el("div"), tip = tipIn(section);
  let cost = data.costs[0];
  section.append(
    el("p", { class: "soft small" }, "The dashed line joins the configurations that no other beats at the same or a lower cost."),
    el("div", { class: "tools" }, choice("cost", data.costs.map((each) => [each.name, each.label]), cost.name, (name) => { cost = data.costs.find((each) => each.name === name); draw(); })),
    place);
  function draw() {
    const rows = data.configurations.filter((row) => row.n && isNumber(row.costs[cost.name]));
    const xs = rows.map((row) => row.costs[cost.name]);
    const log = Math.max(...xs) / Math.min(...xs) >= 30;
    const width = Math.max(280, place.clientWidth || 800);
    const c = chart({ width, height: width < 500 ? 260 : 330, x: { range: range(xs, log), log, label: cost.label }, y: { range: range(rows.map((row) => row.mean), false) }, label: `${data.metric} by ${cost.label}` });
    const front = cost.front.map((id) => rows.find((row) => row.id === id));
    c.plot.append(svg("path", { class: "front", d: path(front.map((row) => row.costs[cost.name]), front.map((row) => row.mean), c.X, c.Y) }));
    for (const row of [...rows].sort((a, b) => chosenLast(a, b, chosen))) {
      const dot = svg("circle", { class: `dot ${chosen.kind(row.id)}`, cx: c.X(row.costs[cost.name]), cy: c.Y(row.mean), r: cost.front.includes(row.id) ? 6.5 : 4.5 });
      dot.addEventListener("pointerenter", (event) => tip.show(event, el("div", {}, row.label), el("div", { class: "soft" }, `${data.metric} ${withHalf(row.mean, row.half)}; ${cost.label} ${number(row.costs[cost.name])}`)));
      dot.addEventListener("pointerleave", tip.hide);
      c.plot.append(dot);
    }
    const taken = [];
    for (const row of front) {
      const x = c.X(row.costs[cost.name]), wide = 6.6 * row.label.length;
      const middle = Math.max(c.left + wide / 2, Math.min(c.right - wide / 2, x));
      const y = Math.max(c.top + 10, c.Y(row.mean) - 12);
      const near = taken.some((other) => Math.abs(other.y - y) < 15 && Math.abs(other.middle - middle) < (other.wide + wide) / 2);
      if (near || taken.length >= 8 || wide > width * 0.7) continue;
      taken.push({ middle, y, wide });
      c.plot.append(svg("text", { class: "strong", x: middle, y, "text-anchor": "middle" }, row.label));
    }
    place.replaceChildren(c.root);
  }
  return { section, draw };
}

const FIRST_FAILURES = 20;
function failuresSection(data) {
  if (!data.failures.length) return null;
  const list = el("div");
  const card = (run, at) => el("details", { open: at === 0 },
    el("summary", {}, el("span", { class: `pill ${run.state.split(" ")[0]}` }, run.kind && run.kind !== run.state ? `${run.state}: ${run.kind.replace(/_/g, " ")}` : run.state), " ", el("b", {}, run.name), " ",
      el("span", { class: "soft" }, run.why)),
    el("p", { class: "soft small" }, [run.folder, run.last_step === null ? "nothing recorded" : `recorded up to step ${run.last_step.toLocaleString("en")}`, run.attempts > 1 ? `${run.attempts} attempts` : null].filter(Boolean).join(" · ")),
    run.log_tail.length ? el("pre", {}, run.log_tail.join("\n")) : null);
  const show = (rows) => list.replaceChildren(...rows.map(card));
  show(data.failures.slice(0, FIRST_FAILURES));
  const rest = data.failures.length - FIRST_FAILURES;
  const more = el("button", { onclick: () => { show(data.failures); more.remove(); } }, `show ${rest} more`);
  return el("section", { id: "failed" }, el("h2", {}, `What did not end well: ${data.failures.length} of ${data.runs.length}`), list, rest > 0 ? more : null);
}

function runsSection(data) {
  const label = (run) => data.configurations[run.configuration].label;
  const table = makeTable([
    { label: "run", kind: "wide", value: (run) => run.name, hint: "the name of its folder" },
    { label: "configuration", kind: "wide", value: label },
    { label: "seed", kind: "number", lowFirst: true, value: (run) => run.seed },
    { label: "state", value: (run) => run.state, cell: (run) => el("span", { class: `pill ${run.state.split(" ")[0]}` }, run.state) },
    { label: data.metric, kind: "number", lowFirst: data.mode === "min", value: (run) => run.value, text: (run) => number(run.value) },
    { label: "epochs", kind: "number", value: (run) => run.epochs },
    { label: "time", kind: "number", value: (run) => run.costs.train_seconds, text: (run) => clock(run.costs.train_seconds) },
    { label: "images/s", kind: "number", value: (run) => run.costs.images_per_second, text: (run) => number(run.costs.images_per_second) },
    { label: "memory, MB", kind: "number", value: (run) => run.costs.peak_memory_mb, text: (run) => number(run.costs.peak_memory_mb) },
  ], [...data.runs], { name: "runs", search: "search runs" });
  return el("section", { id: "all" }, el("h2", {}, "All runs"), table.node);
}

function againSection(data) {
  const groups = data.again.slice(0, 12).map((told) => {
    const copy = el("button", {}, "copy");
    copy.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(told.command); copy.textContent = "copied"; } catch { copy.textContent = "select it"; }
    });
    const facts = [
      ["runs", String(told.runs)],
      ["in", told.folder],
      ["commit", told.commit && `${told.commit}${told.changed ? " and uncommitted changes, kept in stamp.json" : ""}`],
      ["versions", [told.vit && `vit ${told.vit}`, told.python && `Python ${told.python}`, ...Object.entries(told.packages).map(([name, version]) => `${name} ${version}`)].filter(Boolean).join(", ")],
      ["machine", [...told.gpus, told.cpu].filter(Boolean).join(", ")],
      ["data", told.data],
    ].filter(([, text]) => text);
    return el("div", {},
      told.command ? el("pre", { class: "wrapped" }, told.command) : el("p", { class: "soft" }, `no command was recorded (${told.first})`),
      told.command ? copy : null,
      el("dl", {}, ...facts.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])));
  });
  const rest = data.again.length - groups.length;
  return el("section", { id: "again" }, el("h2", {}, "How to get it again"), ...groups, rest > 0 ? el("p", { class: "soft" }, `and ${rest} more ways in which runs were started`) : null);
}
