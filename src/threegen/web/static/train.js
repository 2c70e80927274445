// Train on the page: choose a model and a rule, watch it learn, pause, change the rate, add an epoch.
import { post } from "./api.js";
import { colour, element, lineChart } from "./draw.js";
import { paintSheet } from "./inside.js";
import { state } from "./state.js";
import { onLanguage, percent, t } from "./text.js";

let parts = {}, now = null, timer = 0, joined = () => {};
const get = (id) => document.getElementById(id);

export function makeTrain(onJoin) {
  joined = onJoin;
  const select = (id, change) => element("select", { id, onchange: change });
  const number = (id, value, low, high, step) => element("input", { id, type: "number", value, min: low, max: high, step });
  parts = {
    model: select("train-model", fillRules), rule: select("train-rule"), epochs: number("train-epochs", 2, 1, 50, 1),
    images: number("train-images", 10000, 500, 59500, 500), rate: number("train-rate", "", 0, 10, "any"), seed: number("train-seed", 0, 0, 2147483648, 1),
    start: element("button", { class: "primary", id: "train-start", onclick: start }), pause: element("button", { onclick: () => act(now?.state === "paused" ? "go_on" : "pause") }),
    more: element("button", { onclick: () => act("add_epoch") }), stop: element("button", { onclick: () => act("stop") }),
    apply: element("button", { onclick: () => act("rate", { rate: Number(parts.rate.value) }) }), join: element("button", { id: "train-join", onclick: join }),
    status: element("p", { id: "train-status", role: "status" }), bar: element("progress", { max: 1, value: 0 }),
    loss: element("canvas", { class: "wide", role: "img" }), accuracy: element("canvas", { class: "wide", role: "img" }),
    raster: element("canvas", { class: "wide", role: "img" }), fields: element("div", { class: "tiles" }),
    words: [],
  };
  const word = (kind, key, attributes = {}) => { const one = element(kind, attributes); parts.words.push([one, key]); return one; };
  const labelled = (key, input, ...more) => element("label", {}, word("span", key), input, ...more);
  parts.figures = ["loss", "accuracy", "raster"].map((name) => element("figure", { "data-figure": name }, word("figcaption", `train.${name}`), parts[name]));
  get("panel-train").replaceChildren(
    element("div", { class: "intro" }, word("h1", "train.title"), word("p", "train.subtitle")),
    element("div", { class: "bench" },
      element("div", { class: "left" }, element("section", { class: "block fields" }, labelled("train.model", parts.model), labelled("train.rule", parts.rule),
        element("div", { class: "fields two" }, labelled("train.epochs", parts.epochs), labelled("train.images", parts.images)),
        element("div", { class: "fields two" }, labelled("train.rate", parts.rate), labelled("train.seed", parts.seed)),
        element("div", { class: "row" }, parts.start, parts.apply), element("div", { class: "row" }, parts.pause, parts.more, parts.stop), word("p", "train.help", { class: "hint" }))),
      element("div", { class: "right" }, element("section", { class: "block train" }, parts.status, parts.bar, element("div", { class: "charts" }, ...parts.figures),
        element("div", { class: "sheet" }, word("h3", "train.fields"), parts.fields), element("div", { class: "row" }, parts.join)))),
  );
  document.addEventListener("tab", (event) => { if (event.detail === "train") follow(); });
  onLanguage(() => { describe(); fillRules(); draw(); });
  describe();
  if (state.tab === "train") follow();
}

function describe() {
  for (const [one, key] of parts.words) one.textContent = t(key);
  for (const name of ["start", "more", "stop", "apply", "join"]) parts[name].textContent = t(`train.${name}`);
  parts.rate.placeholder = t("train.rate.own");
  for (const name of ["loss", "accuracy", "raster"]) parts[name].setAttribute("aria-label", t(`train.${name}`));
}

/** Ask how the training stands, twice a second while it runs and the tab is open. */
async function follow() {
  clearTimeout(timer);
  if (state.tab !== "train") return;
  try { take(await (await fetch("/api/training")).json()); } catch { /* asked again below */ }
  timer = setTimeout(follow, now && ["running"].includes(now.state) ? 500 : 2000);
}

function take(found) {
  const models = found.models ?? now?.models ?? [];
  const first = !now?.models;
  now = { ...found, models };
  if (first && models.length) {
    parts.model.replaceChildren(...models.map((one) => element("option", { value: one.name }, t(`model.${one.name}.title`, {}, one.title))));
    if (models.some((one) => one.name === "mlp")) parts.model.value = "mlp";
    fillRules();
  }
  draw();
}

function fillRules() {
  const model = now?.models?.find((one) => one.name === parts.model.value);
  if (!model) return;
  for (const option of parts.model.options) { const one = now.models.find((m) => m.name === option.value); option.textContent = t(`model.${one.name}.title`, {}, one.title); }
  const kept = parts.rule.value;
  parts.rule.replaceChildren(...model.rules.map((rule, place) => element("option", { value: rule }, place ? t(`rule.${rule}`, {}, rule) : t(`model.${model.name}.rule`, {}, rule))));
  if (model.rules.includes(kept)) parts.rule.value = kept;
  parts.rate.disabled = !model.rate;
  offer();
}

const isBusy = () => ["running", "paused"].includes(now?.state);

/** A rate can be set only while something learns by it. */
function offer() { parts.apply.disabled = !isBusy() || parts.rate.disabled; }

async function start() {
  const rate = parts.rate.value === "" ? null : Number(parts.rate.value);
  await act("start", { model: parts.model.value, rule: parts.rule.value, epochs: Number(parts.epochs.value), images: Number(parts.images.value), seed: Number(parts.seed.value), rate });
}

async function act(action, more = {}) {
  try { take(await post("/api/train", { action, ...more })); follow(); } catch (problem) { parts.status.textContent = problem.message; }
}

async function join() { await act("join"); await joined(); parts.status.textContent = t("train.joined"); }

function draw() {
  if (!now || !parts.status) return;
  const busy = isBusy();
  offer();
  parts.start.disabled = busy; parts.pause.disabled = !busy; parts.stop.disabled = !busy;
  parts.more.disabled = !busy && now.state !== "done"; parts.join.hidden = !["done", "stopped"].includes(now.state);
  parts.pause.textContent = t(now.state === "paused" ? "train.go_on" : "train.pause");
  const last = now.accuracy?.at(-1)?.[1];
  const values = { epoch: Math.min((now.epoch ?? 0) + (busy ? 1 : 0), now.epochs), epochs: now.epochs, seconds: Math.round(now.seconds || 0), folder: now.folder, accuracy: last === undefined ? "–" : percent(last, 1), problem: now.problem };
  parts.status.textContent = t(`train.state.${now.state === "running" && !now.loss.length ? "starting" : now.state}`, values);
  parts.bar.value = now.state === "done" ? 1 : now.total ? now.batches / now.total : 0;
  parts.bar.hidden = now.state === "idle";
  lineChart(parts.loss, [{ values: now.loss?.length ? now.loss : [NaN], colour: colour("accent"), wide: 2 }]);
  lineChart(parts.accuracy, [{ values: (now.accuracy?.length ? now.accuracy : [[0, NaN]]).map((pair) => pair[1]), colour: colour("accent"), wide: 2 }], { low: 0, high: 1 });
  parts.figures[2].hidden = !now.raster;
  if (now.raster) paintRaster();
  if (now.fields) paintSheet(parts.fields, now.fields); else parts.fields.replaceChildren();
}

function paintRaster() {
  const canvas = parts.raster, ratio = window.devicePixelRatio || 1, frames = now.raster.decision.length;
  canvas.width = (canvas.clientWidth || 300) * ratio; canvas.height = (canvas.clientHeight || 150) * ratio;
  const c = canvas.getContext("2d"), rows = now.raster.layers.reduce((sum, layer) => sum + layer.shown.length + 4, 0);
  let top = 0;
  c.fillStyle = colour("ink");
  for (const layer of now.raster.layers) {
    layer.raster.forEach((row, f) => row.forEach((neuron) => c.fillRect((f / frames) * canvas.width + 2, ((top + neuron) / rows) * canvas.height, canvas.width / frames - 4, Math.max(1.5, canvas.height / rows - 0.5))));
    top += layer.shown.length + 4;
  }
}
