// A spiking network over its time steps: raster, potentials, the decision as it forms, accuracy against T.
import { post } from "./api.js";
import { colour, decoded, element, lineChart } from "./draw.js";
import { question, state } from "./state.js";
import { percent, t } from "./text.js";

const LASTS = 4000; // ms for the whole presentation
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
let parts = null, model = null, record = null, frame = 0, timer = 0, playing = false, number = 0, steps = null;

export function makeSpikes(box, one) {
  model = one; record = null; steps = null; frame = 0;
  parts = {
    title: element("h3"), help: element("p", { class: "hint" }), play: element("button", { id: "spikes-play", onclick: () => (playing ? pause() : start()) }),
    slider: element("input", { type: "range", id: "spikes-step", min: 0, max: 1, step: 1, value: 0, oninput: () => { pause(); show(Number(parts.slider.value)); } }),
    now: element("output"), input: element("canvas", { class: "large", width: 28, height: 28, role: "img" }),
    raster: element("canvas", { id: "raster", class: "wide", role: "img" }), potentials: element("canvas", { class: "wide", role: "img" }),
    decision: element("canvas", { class: "wide", role: "img" }), accuracy: element("canvas", { class: "wide", role: "img" }),
    measure: element("button", { onclick: measure }), said: element("p", { class: "hint" }),
    captions: ["input", "raster", "potentials", "decision", "accuracy"].reduce((all, name) => ({ ...all, [name]: element("figcaption") }), {}),
  };
  const figure = (name, ...more) => element("figure", {}, parts.captions[name], parts[name], ...more);
  box.replaceChildren(parts.title, parts.help, element("div", { class: "row clock" }, parts.play, parts.slider, parts.now),
    element("div", { class: "time" }, figure("input"), figure("raster"), figure("potentials"), figure("decision"), figure("accuracy", parts.measure)), parts.said);
}

export function stopSpikes() { pause(); parts = null; model = null; record = null; }

/** Write the words; with a question, ask for a new record too. */
export async function describeSpikes(body = null) {
  if (!parts) return;
  parts.title.textContent = t("spikes.title");
  const camera = model.camera;
  parts.help.textContent = camera ? t("spikes.help.camera", { steps: model.steps, each: Math.round(camera.milliseconds / model.steps) }) : t("spikes.help", { steps: model.steps });
  parts.play.textContent = t(playing ? "spikes.pause" : "spikes.play");
  parts.slider.setAttribute("aria-label", t("spikes.step"));
  parts.measure.textContent = t("spikes.measure");
  parts.measure.hidden = steps !== null;
  for (const [name, caption] of Object.entries(parts.captions)) {
    const words = t(camera && name === "input" ? "spikes.input.camera" : `spikes.${name}`);
    caption.textContent = words;
    parts[name].setAttribute("aria-label", words);
  }
  if (record && !body) show(frame);
  if (!body) return;
  const mine = ++number, asked = model;
  try {
    const found = await post("/api/spikes", { ...body, model: asked.name });
    if (mine !== number || model !== asked) return;
    record = found;
    parts.slider.max = record.decision.length - 1;
    if (still()) show(record.decision.length - 1); else { frame = 0; start(); }
  } catch (problem) { if (parts) parts.said.textContent = problem.message; }
}

function start() {
  if (!record) return;
  if (frame >= record.decision.length - 1) frame = 0;
  playing = true;
  parts.play.textContent = t("spikes.pause");
  clearInterval(timer);
  show(frame);
  timer = setInterval(() => {
    if (!parts || frame >= record.decision.length - 1) return pause();
    show(frame + 1);
  }, Math.max(40, Math.min(700, LASTS / record.decision.length)));
}

function pause() {
  playing = false;
  clearInterval(timer);
  if (parts) parts.play.textContent = t("spikes.play");
}

async function measure() {
  const asked = model;
  parts.measure.disabled = true;
  const found = await post("/api/steps", { model: asked.name }).catch((problem) => ({ problem }));
  if (model !== asked) return;
  parts.measure.disabled = false;
  if (found.problem) { parts.said.textContent = found.problem.status ? found.problem.message : t("error.lost"); return; }
  steps = found;
  parts.measure.hidden = true;
  parts.captions.accuracy.textContent = t("spikes.accuracy.of", { images: steps.images });
  show(frame);
}

function show(now) {
  if (!record || !parts) return;
  frame = Math.min(now, record.decision.length - 1);
  parts.slider.value = frame;
  const shares = record.decision[frame], best = shares.indexOf(Math.max(...shares));
  parts.now.textContent = t("spikes.now", { step: Math.min(record.steps, (frame + 1) * record.bin), steps: record.steps });
  parts.slider.setAttribute("aria-valuetext", parts.now.textContent);
  paintInput();
  paintRaster();
  const palette = (k) => (k === best ? colour("accent") : colour("control"));
  const accent = record.speakers.length < 10;
  lineChart(parts.potentials, record.potentials.map((values, k) => ({ values: values.slice(0, frame + 1).concat(Array(values.length - frame - 1).fill(NaN)),
    colour: accent ? palette(-1) : palette(k), wide: !accent && k === best ? 2.4 : 1.2, alpha: !accent && k === best ? 1 : 0.6 })),
  { low: Math.min(...record.potentials.flat(), 0), high: Math.max(...record.potentials.flat(), record.threshold ?? -Infinity), rule: record.threshold, cursor: frame, labels: ["1", String(record.steps)] });
  lineChart(parts.decision, shares.map((_, k) => ({ values: record.decision.map((row, i) => (i <= frame ? row[k] : NaN)), colour: palette(k), wide: k === best ? 2.6 : 1, alpha: k === best ? 1 : 0.55 })),
    { low: 0, high: 1, cursor: frame, labels: ["1", String(record.steps)] });
  if (steps) lineChart(parts.accuracy, [{ values: steps.accuracy, colour: colour("accent"), wide: 2 }], { low: 0, high: 1, cursor: steps.accuracy.length === record.decision.length ? frame : null, labels: ["1", String(record.steps)] });
  const spikes = record.layers.map((layer) => t("spikes.layer", { layer: layer.layer, neurons: layer.neurons, spikes: layer.spikes, silent: layer.silent })).join(" ");
  parts.said.textContent = `${t("spikes.says", { step: Math.min(record.steps, (frame + 1) * record.bin), digit: best, share: percent(shares[best]) })} ${spikes}`;
}

const SPIKE = [255, 255, 255, 255], OFF = [70, 150, 230, 255], ON = [245, 130, 40, 255];

/** Pixels that spike are white; events of a camera, OFF and then ON, have two colours. */
function paintInput() {
  const [, height, width] = model.camera?.planes ?? [1, 28, 28], size = height * width;
  const image = new ImageData(width, height);
  for (let i = 0; i < size; i++) image.data.set([0, 0, 0, 255], 4 * i);
  for (const place of record.input[frame]) image.data.set(model.camera ? (place < size ? OFF : ON) : SPIKE, 4 * (place % size));
  parts.input.width = width; parts.input.height = height;
  parts.input.getContext("2d").putImageData(image, 0, 0);
}

/** One row a neuron, one column a frame, layers under each other; what is still to come is left empty. */
function paintRaster() {
  const canvas = parts.raster, ratio = window.devicePixelRatio || 1, frames = record.decision.length;
  const rows = record.layers.reduce((sum, layer) => sum + layer.shown.length + 6, 0);
  canvas.width = canvas.clientWidth * ratio; canvas.height = canvas.clientHeight * ratio;
  const c = canvas.getContext("2d"), left = 4 * ratio, wide = (canvas.width - 2 * left) / frames, tall = (canvas.height - 8) / rows;
  c.clearRect(0, 0, canvas.width, canvas.height);
  let top = 4;
  for (const layer of record.layers) {
    c.fillStyle = colour("sunk");
    c.fillRect(left, top, wide * frames, tall * layer.shown.length);
    c.fillStyle = colour("ink");
    for (let f = 0; f <= frame; f++) for (const neuron of layer.raster[f]) c.fillRect(left + f * wide, top + neuron * tall, Math.max(1.5, wide - ratio), Math.max(1.5, tall - 0.5));
    top += tall * (layer.shown.length + 6);
  }
  c.fillStyle = colour("accent");
  c.fillRect(left + (frame + 1) * wide - ratio, 2, 2 * ratio, canvas.height - 4);
}
