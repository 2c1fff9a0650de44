// What it costs, what failed, all runs, and how to get them again.
const chosenLast = (a, b, chosen) => (chosen.color(a.id) !== null) - (chosen.color(b.id) !== null);

// What a training costs, the clock last: it is marked where runs had different shares of a machine.
const COST_COLUMNS = [
  ["training_gflops", "train GFLOPs", "floating-point operations of the whole training, forward and backward"],
  ["gflops_per_image", "GFLOPs a sample", "of a forward pass"],
  ["cpu_seconds", "CPU s", "time of the training process and its threads on the CPU"],
  ["gpu_seconds", "GPU s", "GPUs × training time on the clock"],
  ["steps", "steps", "optimizer steps"],
  ["peak_memory_mb", "memory, MB", "the most that a process held"],
  ["images_per_second", "samples/s", "on the clock"],
  ["train_seconds", "time", "of training, on the clock"],
];
const BY_THE_CLOCK = ["gpu_seconds", "images_per_second", "train_seconds"];
const IN_LEADERBOARD = ["training_gflops", "cpu_seconds", "gpu_seconds", "steps", "train_seconds"];
function costColumns(data, rows, costs, names = IN_LEADERBOARD) {
  const known = (name) => rows.some((row) => isNumber(costs(row)[name]));
  const wanted = known("training_gflops") ? names : names.map((name) => (name === "training_gflops" ? "gflops_per_image" : name));
  return COST_COLUMNS.filter(([name]) => wanted.includes(name) && known(name)).map(([name, label, hint]) => {
    const marked = data.clock.reasons.length && BY_THE_CLOCK.includes(name);
    const shown = name === "train_seconds" ? clock : number;
    return { label: marked ? `${label} *` : label, kind: "number", value: (row) => costs(row)[name], text: (row) => shown(costs(row)[name]), hint: marked ? `${hint}; no fair measure here: ${data.clock.reasons.join("; ")}` : hint };
  });
}
const clockNote = (data) => (data.clock.reasons.length ? el("p", { class: "soft small clock" }, `* Times on the clock are no fair measure here. ${data.clock.reasons.map((reason) => reason.replace(/\.$/, "")).join("; ")}.`) : null);

function costSection(data, chosen) {
  if (!data.costs.length) return null;
  const section = el("section", { id: "cost" }, el("h2", {}, "What it costs"));
  const place = el("div"), tip = tipIn(section), caveat = el("div");
  let cost = data.costs[0];
  section.append(
    el("p", { class: "soft small" }, "The dashed line joins the configurations that no other beats at the same or a lower cost."),
    el("div", { class: "tools" }, choice("cost", data.costs.map((each) => [each.name, each.label]), cost.name, (name) => { cost = data.costs.find((each) => each.name === name); draw(); })),
    place, caveat);
  function draw() {
    caveat.replaceChildren(...[cost.by_the_clock && clockNote(data)].filter(Boolean));
    const rows = data.configurations.filter((row) => row.n && isNumber(row.costs[cost.name]));
    const xs = rows.map((row) => row.costs[cost.name]);
    const log = Math.max(...xs) / Math.min(...xs) >= 30;
    const width = Math.max(280, place.clientWidth || 800);
    const c = chart({ width, height: width < 500 ? 260 : 330, x: { range: range(xs, log), log, label: cost.label }, y: { range: range(rows.map((row) => row.mean), false) }, label: `${data.metric} by ${cost.label}` });
    const front = cost.front.map((id) => rows.find((row) => row.id === id));
    c.plot.append(svg("path", { class: "front", d: path(front.map((row) => row.costs[cost.name]), front.map((row) => row.mean), c.X, c.Y) }));
    const names = svg("g");
    c.plot.append(names);
    for (const row of [...rows].sort((a, b) => chosenLast(a, b, chosen))) {
      const dot = svg("circle", { class: `dot ${chosen.kind(row.id)}`, cx: c.X(row.costs[cost.name]), cy: c.Y(row.mean), r: cost.front.includes(row.id) ? 6.5 : 4.5 });
      dot.addEventListener("pointerenter", (event) => tip.show(event, el("div", {}, row.label), el("div", { class: "soft" }, `${data.metric} ${meanOf(row, data)}; ${cost.label} ${number(row.costs[cost.name])}`)));
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
      names.append(svg("text", { class: "strong", x: middle, y, "text-anchor": "middle" }, row.label));
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
  const said = [
    { label: "tags", kind: "wide", value: (run) => run.tags.join(", "), some: (run) => run.tags.length },
    { label: "note", kind: "wide", value: (run) => run.note || "", some: (run) => run.note },
  ].filter((column) => data.runs.some(column.some));
  const table = makeTable([
    { label: "run", kind: "wide", value: (run) => run.name, hint: "the name of its folder" },
    { label: "configuration", kind: "wide", value: label },
    { label: "seed", kind: "number", lowFirst: true, value: (run) => run.seed },
    { label: "state", value: (run) => run.state, cell: (run) => el("span", { class: `pill ${run.state.split(" ")[0]}` }, run.state) },
    { label: data.metric, kind: "number", lowFirst: data.mode === "min", value: (run) => run.value ?? run.so_far, text: (run) => (run.value === null && run.so_far !== null ? `${number(run.so_far)} so far` : number(run.value)) },
    { label: "epochs", kind: "number", value: (run) => run.epochs },
    ...costColumns(data, data.runs, (run) => run.costs, COST_COLUMNS.map(([name]) => name).filter((name) => name !== "gflops_per_image")),
    ...said,
  ], [...data.runs], { name: "runs", search: "search runs" });
  return el("section", { id: "all" }, el("h2", {}, "All runs"), clockNote(data), table.node);
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
