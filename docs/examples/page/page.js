// Shows the curve and the checkpoints of one job while they arrive: GET /jobs/{id}/watch.
"use strict";

const byId = (id) => document.getElementById(id);
const HEIGHT = 320, LEFT = 56, RIGHT = 16, TOP = 28, BOTTOM = 34;

let source = null;
let job = null;

function choose() {
  const id = decodeURIComponent(location.hash.slice(1));
  for (const link of byId("jobs").querySelectorAll("a")) {
    const isChosen = link.dataset.job === id;
    if (isChosen) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  source?.close();
  if (!id) return;
  job = { id, steps: new Map(), checkpoints: new Map(), best: null };
  byId("title").textContent = id;
  byId("status").textContent = "Loading";
  draw();
  watch(job);
}

function watch(shown) {
  // A browser reconnects by itself, and then sends the id of the last event that it has received.
  const events = new EventSource(`jobs/${encodeURIComponent(shown.id)}/watch`);
  source = events;
  const on = (name, handle) => events.addEventListener(name, (message) => {
    if (shown === job) handle(JSON.parse(message.data));
  });
  events.onopen = () => say("Live");
  events.onerror = () => say(
    events.readyState === EventSource.CLOSED ? "Disconnected" : "Reconnecting",
  );
  on("checkpoint", (checkpoint) => {
    shown.checkpoints.set(checkpoint.id, checkpoint);
    refresh();
  });
  on("event", (event) => {
    if (event.type === "metrics" && event.data?.step != null) {
      shown.steps.set(event.data.step, event.data);
      refresh();
    }
  });
  for (const name of ["status", "caught_up"]) {
    on(name, ({ status }) => { byId("status").textContent = status; });
  }
  on("failure", ({ error }) => { byId("status").textContent = error.message; });
  on("finished", ({ status }) => {
    byId("status").textContent = status;
    say("Ended");
    events.close();
  });
}

function say(text) {
  byId("connection").textContent = text;
}

// A burst of messages is drawn once.
let isScheduled = false;
function refresh() {
  if (isScheduled) return;
  isScheduled = true;
  setTimeout(() => {
    isScheduled = false;
    draw();
  }, 100);
}

// As checkpoints.best: the first metric that there is, and the later step if two are equal.
const PREFERRED = [
  ["full_valid_loss", -1], ["valid_loss", -1], ["full_valid_mean_token_accuracy", 1],
  ["valid_mean_token_accuracy", 1], ["train_loss", -1],
];

function bestOf(checkpoints) {
  for (const [metric, sign] of PREFERRED) {
    let best = null;
    for (const checkpoint of checkpoints) {
      const value = checkpoint.metrics?.[metric];
      if (typeof value !== "number" || value < 0) continue;
      if (!best || sign * value >= sign * best.value) best = { metric, value, checkpoint };
    }
    if (best) return best;
  }
  return null;
}

const validOf = (metrics) => metrics?.full_valid_loss ?? metrics?.valid_loss ?? null;

function draw() {
  const steps = [...job.steps.values()].sort((a, b) => a.step - b.step);
  const checkpoints = [...job.checkpoints.values()].sort((a, b) => a.step_number - b.step_number);
  const curves = {
    train: steps.map((one) => [one.step, one.train_loss]),
    valid: steps.map((one) => [one.step, validOf(one)]),
  };
  const dots = checkpoints
    .map((one) => [one.step_number, validOf(one.metrics) ?? one.metrics?.train_loss, one.id])
    .filter(([, value]) => value != null);
  job.best = bestOf(checkpoints);
  drawChart(curves, dots);
  drawTable(checkpoints);
  byId("best").textContent = job.best === null ? "" :
    `Best by ${job.best.metric}: step ${job.best.checkpoint.step_number}, ${job.best.value.toPrecision(4)}`;
}

function drawChart(curves, dots) {
  const known = Object.entries(curves).map(([name, points]) => [
    name, points.filter(([, value]) => value != null),
  ]);
  const all = [...known.flatMap(([, points]) => points), ...dots];
  const chart = byId("chart");
  // One unit is one pixel, so that text keeps its size on a phone.
  const width = chart.clientWidth || 800;
  chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  if (!all.length) {
    chart.replaceChildren(svg("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "No metrics yet"));
    chart.setAttribute("aria-label", "No curve yet");
    return;
  }
  const last = Math.max(1, ...all.map(([step]) => step));
  const values = all.map(([, value]) => value);
  const low = Math.min(0, ...values), high = Math.max(...values, low + 1e-9);
  const x = (step) => LEFT + (step / last) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const parts = [
    svg("line", { class: "axis", x1: LEFT, y1: y(low), x2: width - RIGHT, y2: y(low) }),
    svg("line", { class: "axis", x1: LEFT, y1: TOP, x2: LEFT, y2: y(low) }),
    svg("text", { x: LEFT - 8, y: y(high) + 5, "text-anchor": "end" }, high.toPrecision(3)),
    svg("text", { x: LEFT - 8, y: y(low) + 5, "text-anchor": "end" }, low.toPrecision(1)),
    svg("text", { x: width - RIGHT, y: HEIGHT - 10, "text-anchor": "end" }, `step ${last}`),
  ];
  for (const [name, points] of known) {
    const line = points.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
    parts.push(svg("polyline", { class: name, points: line.join(" ") }));
  }
  for (const [step, value, id] of dots) {
    const isBest = id === job.best?.checkpoint.id;
    parts.push(svg("circle", { cx: x(step), cy: y(value), r: isBest ? 6 : 4, class: isBest ? "is-best" : "" }));
    if (isBest) {
      const anchor = step > last * 0.8 ? "end" : step < last * 0.2 ? "start" : "middle";
      parts.push(svg("text", { class: "best-label", x: x(step), y: y(value) - 12, "text-anchor": anchor }, `best: step ${step}`));
    }
  }
  chart.replaceChildren(...parts);
  chart.setAttribute("aria-label", `Loss up to step ${last}, with ${dots.length} checkpoints; the table has the values`);
}

function svg(name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

function drawTable(checkpoints) {
  const shown = (value) => value == null ? "–" : value.toFixed(4);
  byId("checkpoints").replaceChildren(...checkpoints.map((one) => {
    const row = document.createElement("tr");
    if (one.id === job.best?.checkpoint.id) row.className = "is-best";
    const cells = [
      one.step_number, shown(one.metrics?.train_loss), shown(one.metrics?.valid_loss),
      shown(one.metrics?.full_valid_loss), one.fine_tuned_model_checkpoint,
    ];
    for (const cell of cells) row.insertCell().textContent = cell;
    return row;
  }));
}

async function listJobs() {
  const response = await fetch("jobs");
  if (!response.ok) {
    say(`The jobs cannot be listed: ${response.status}`);
    return;
  }
  for (const line of (await response.text()).split("\n").filter(Boolean)) {
    const { id, status, model } = JSON.parse(line);
    const link = document.createElement("a");
    link.href = `#${encodeURIComponent(id)}`;
    link.dataset.job = id;
    const detail = document.createElement("span");
    detail.className = "muted";
    detail.textContent = `${status} · ${model}`;
    link.append(id, document.createElement("br"), detail);
    const item = document.createElement("li");
    item.append(link);
    byId("jobs").append(item);
  }
}

addEventListener("resize", () => { if (job) draw(); });
addEventListener("hashchange", () => {
  choose();
  byId("title").focus();
});

listJobs().then(() => {
  const first = byId("jobs").querySelector("a");
  if (!location.hash && first) history.replaceState(null, "", first.hash);
  choose();
});
