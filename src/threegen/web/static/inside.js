// Inside one network: hidden units (a click switches one off), what they look for, dreams, spikes over time.
import { post } from "./api.js";
import { describeDamage } from "./damage.js";
import { decoded, element, paintGrey } from "./draw.js";
import { describeSpikes, makeSpikes, stopSpikes } from "./spikes.js";
import { modelOf, question, state } from "./state.js";
import { amount, bytes, has, percent, t } from "./text.js";

const get = (id) => document.getElementById(id);
let parts = {}, shown = null, changed = () => {}, asked = 0;

export function openInside(onChange) {
  changed = onChange;
  const box = get("inside"), model = modelOf(state.inside);
  stopSpikes();
  box.hidden = !model;
  if (!model) { box.replaceChildren(); return; }
  build(box, model);
  refreshInside();
  box.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  box.focus({ preventScroll: true });
}

function build(box, model) {
  const close = element("button", { class: "quiet", onclick: () => { state.inside = null; openInside(changed); document.querySelector(`[data-name="${model.name}"] button`)?.focus(); document.querySelector(".card.selected")?.classList.remove("selected"); } });
  parts = { close, title: element("h2", { id: "inside-title" }), about: element("p", { class: "about" }), layers: element("div", { class: "layers" }),
    fields: element("div", { class: "layers" }), extra: element("div", { class: "extra" }), spikes: element("div", { class: "spikes" }), cost: element("div", { class: "cost" }) };
  box.replaceChildren(element("header", {}, parts.title, close), parts.about, parts.spikes, parts.extra,
    element("div", { class: "columns" }, parts.layers, parts.fields), parts.cost);
  if (model.name && model.spiking) makeSpikes(parts.spikes, model);
  describeInside();
}

export function describeInside() {
  const model = modelOf(state.inside);
  if (!model || !parts.title) return;
  const name = t(`model.${model.name}.title`, {}, model.title);
  parts.title.textContent = t("inside.title", { name });
  parts.close.textContent = t("inside.close");
  parts.about.textContent = `${has(`model.${model.name}.about`) ? t(`model.${model.name}.about`) : model.about} ${t("inside.paper", { paper: model.paper })}`;
  if (shown) drawInside(model);
  describeSpikes();
}

/** Ask anew for what is open: the stroke, the damage or the theme has changed. */
export async function refreshInside() {
  const model = modelOf(state.inside), body = question(), number = ++asked;
  if (!model || !body || get("inside").hidden) return;
  try {
    const found = await post("/api/inside", { ...body, model: model.name });
    if (number !== asked) return;
    shown = found;
    drawInside(model);
    describeSpikes(body);
  } catch (problem) { if (number === asked && problem.status) parts.about.textContent = problem.message; }
}

function drawInside(model) {
  if (shown.name !== model.name) return;
  parts.layers.replaceChildren(element("h3", {}, t("inside.layers")), element("p", { class: "hint" }, t(shown.layers.length ? "inside.layers.help" : "inside.no.layers")),
    ...shown.layers.map((layer) => sheet(model, layer, t("inside.layer", { name: layer.layer, shown: layer.units.length, of: layer.of, active: layer.active }))));
  parts.fields.replaceChildren();
  if (shown.fields) {
    const fields = shown.fields;
    parts.fields.append(element("h3", {}, t("inside.fields")), element("p", { class: "hint" }, t("inside.fields.help")),
      sheet(model, fields, t("inside.fields.of", { shown: fields.units.length, of: fields.of })));
  }
  drawExtra(model);
  drawCost(model);
}

/** A sheet of units as tiles; each is a button that switches its unit off and on. */
function sheet(model, layer, title) {
  const values = new Int8Array(decoded(layer.values).buffer), size = layer.height * layer.width;
  const tiles = layer.units.map((unit, place) => {
    const canvas = element("canvas", { width: layer.width, height: layer.height, "aria-hidden": "true" });
    paintSigned(canvas, values.subarray(place * size, (place + 1) * size), layer.width);
    const label = layer.labels ? element("small", {}, layer.labels[place] < 0 ? "–" : String(layer.labels[place])) : null;
    if (!layer.layer) return element("span", { class: "tile still" }, canvas, label);
    const off = isOff(model.name, layer.layer, unit);
    return element("button", { class: "tile", "aria-pressed": String(off), "data-unit": `${layer.layer}:${unit}`, title: t("inside.unit", { unit }),
      "aria-label": t("inside.unit", { unit }), onclick: () => toggle(model.name, layer.layer, unit) }, canvas, label);
  });
  const small = layer.height === 1 && layer.width === 1;
  return element("div", { class: "sheet" }, element("h4", {}, title), element("div", { class: `tiles${small ? " small" : ""}` }, ...tiles));
}

/** Paint a sheet of pictures that are only looked at. */
export function paintSheet(holder, sheet) {
  const values = new Int8Array(decoded(sheet.values).buffer), size = sheet.height * sheet.width;
  holder.replaceChildren(...sheet.units.map((_, place) => {
    const canvas = element("canvas", { width: sheet.width, height: sheet.height, "aria-hidden": "true" });
    paintSigned(canvas, values.subarray(place * size, (place + 1) * size), sheet.width);
    return element("span", { class: "tile still" }, canvas);
  }));
}

function paintSigned(canvas, values, width) {
  const dark = document.documentElement.dataset.theme === "dark", image = new ImageData(width, values.length / width);
  const paper = dark ? [36, 40, 47] : [255, 255, 255];
  values.forEach((value, i) => {
    const aim = value > 0 ? [236, 112, 20] : [40, 120, 200], share = Math.abs(value) / 127;
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = paper[c] + (aim[c] - paper[c]) * share;
    image.data[4 * i + 3] = 255;
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const isOff = (name, layer, unit) => state.off[name]?.[layer]?.includes(unit) ?? false;

function toggle(name, layer, unit) {
  const units = ((state.off[name] ??= {})[layer] ??= []), place = units.indexOf(unit);
  if (place < 0) units.push(unit); else units.splice(place, 1);
  if (!units.length) delete state.off[name][layer];
  if (!Object.keys(state.off[name]).length) delete state.off[name];
  showUnits();
  describeDamage();
  changed();
}

export function showUnits() {
  for (const one of document.querySelectorAll("#inside .tile[data-unit]")) {
    const [layer, unit] = one.dataset.unit.split(/:(?=\d+$)/);
    one.setAttribute("aria-pressed", String(isOff(state.inside, layer, Number(unit))));
  }
}

function drawExtra(model) {
  if (!shown.reconstruction) { parts.extra.replaceChildren(); return; }
  if (!parts.dream) {
    parts.again = element("canvas", { class: "large", width: 28, height: 28, role: "img" });
    parts.film = element("canvas", { class: "large", width: 28, height: 28, role: "img" });
    parts.digits = element("div", { class: "row" }, ...Array.from({ length: 10 }, (_, digit) => element("button", { class: "digit-button", onclick: () => dream(model, digit) }, String(digit))));
    parts.dream = element("div", { class: "dreams" }, element("figure", {}, parts.again, element("figcaption")), element("figure", {}, parts.film, element("figcaption")), parts.digits);
  }
  const [again, film] = parts.dream.querySelectorAll("figcaption");
  again.textContent = t("inside.again"); film.textContent = t("inside.dream");
  parts.again.setAttribute("aria-label", t("inside.again")); parts.film.setAttribute("aria-label", t("inside.dream"));
  [...parts.digits.children].forEach((one, digit) => one.setAttribute("aria-label", t("inside.dream.of", { digit })));
  paintGrey(parts.again, decoded(shown.reconstruction));
  if (!parts.extra.contains(parts.dream)) parts.extra.replaceChildren(parts.dream);
}

async function dream(model, digit) {
  const found = await post("/api/dream", { model: model.name, digit, seed: Math.floor(Math.random() * 2 ** 31) }).catch(() => null);
  if (!found) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  for (const image of still ? found.images.slice(-1) : found.images) {
    if (!parts.film?.isConnected) return;
    paintGrey(parts.film, decoded(image));
    await new Promise((resolve) => setTimeout(resolve, 120));
  }
}

function drawCost(model) {
  const cost = state.costs[model.name];
  if (!cost || cost.error) { parts.cost.replaceChildren(); return; }
  const most = Math.max(...Object.values(state.costs).map((one) => one.total || 0));
  const part = cost.total / (most || 1);
  const rows = [["cost.multiplications", amount(cost.multiplications)], ["cost.additions", amount(cost.additions)], ["cost.zeros", amount(cost.skipping_zeros)]];
  if (model.spiking) rows.push(["cost.updates", amount(cost.neuron_updates)], ["cost.spikes", amount(cost.spikes)], ["cost.encoder", amount(cost.encoder)]);
  for (const kind of ["weights", "activations", "potentials", "spikes"]) if (cost.memory[kind]) rows.push([`cost.memory.${kind}`, bytes(cost.memory[kind])]);
  const bar = element("meter", { min: 0, max: most || 1, value: cost.total, "aria-label": t("cost.share") });
  parts.cost.replaceChildren(element("h3", {}, t("cost.title")), bar, element("p", { class: "hint" }, t("cost.share.of", { share: part > 0 && part < 0.0005 ? "< 0.1%" : percent(part, 1) })),
    element("dl", { class: "facts" }, ...rows.flatMap(([key, value]) => [element("dt", {}, t(key)), element("dd", {}, value)])), element("p", { class: "hint" }, t("cost.rule")));
}
