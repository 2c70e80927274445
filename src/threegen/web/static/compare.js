// Compare models of the page on the same test images: accuracy, memory, operations and a verdict in words.
import { post } from "./api.js";
import { titleOf } from "./cards.js";
import { element } from "./draw.js";
import { modelOf, state } from "./state.js";
import { has, onLanguage, percent, t } from "./text.js";

const USUAL = ["mlp", "lenet-5-modern", "spiking-mlp"];
let parts = {}, found = null;

export function makeCompare() {
  parts = { words: [], choices: element("div", { class: "choices" }), go: element("button", { class: "primary", id: "compare-go", onclick: compare }),
    images: element("input", { type: "number", id: "compare-images", value: 500, min: 50, max: 2000, step: 50 }), status: element("p", { id: "compare-status", role: "status" }), result: element("div", { class: "result" }) };
  const word = (kind, key, attributes = {}) => { const one = element(kind, attributes); parts.words.push([one, key]); return one; };
  document.getElementById("panel-compare").replaceChildren(
    element("div", { class: "intro" }, word("h1", "compare.title"), word("p", "compare.subtitle")),
    element("section", { class: "block fields" }, element("fieldset", {}, word("legend", "compare.choose"), parts.choices),
      element("div", { class: "row" }, element("label", { class: "inline" }, word("span", "compare.images"), parts.images), parts.go), parts.status), parts.result);
  document.addEventListener("tab", (event) => { if (event.detail === "compare") fillChoices(); });
  onLanguage(describe);
  describe();
}

function describe() {
  for (const [one, key] of parts.words) one.textContent = t(key);
  parts.go.textContent = t("compare.go");
  fillChoices();
  if (found) draw();
}

function fillChoices() {
  const before = [...parts.choices.querySelectorAll("input")], chosen = before.filter((one) => one.checked).map((one) => one.value);
  const wanted = before.length ? chosen : USUAL;
  parts.choices.replaceChildren(...state.models.map((model) => element("label", {}, element("input", { type: "checkbox", value: model.name, checked: wanted.includes(model.name) }), element("span", {}, titleOf(model)))));
}

async function compare() {
  const models = [...parts.choices.querySelectorAll("input:checked")].map((one) => one.value);
  if (models.length < 2 || models.length > 6) { parts.status.textContent = t("compare.number"); return; }
  parts.go.disabled = true;
  parts.status.textContent = t("compare.busy");
  try {
    found = await post("/api/compare", { models, images: Number(parts.images.value) });
    parts.status.textContent = t("compare.done", { images: found.images });
    draw();
  } catch (problem) { parts.status.textContent = problem.message; }
  parts.go.disabled = false;
}

/** A fixed text of the card in the chosen language: numbers and names of models are put back into it. */
function translated(text) {
  if (has(`table.${text}`)) return t(`table.${text}`);
  const number = /\d[\d,]*/.exec(text)?.[0], general = `table.${text.replace(number, "{n}")}`;
  if (number && has(general)) return t(general, { n: number });
  if (text.includes("; ")) return text.split("; ").map(translated).join(t("table.; ", {}, "; "));
  const [names, rest] = text.split(/: (.*)/s);
  return rest && has(`table.${rest}`) ? t(`table.${rest}`, { names }) : text;
}

/** The verdict in words; without a sentence of the language for it, as `tg.compare` says it. */
function said(one) {
  if (!has("table.verdict")) return one.text;
  const [low, high] = one.operations, [own, other] = one.accuracies.map((share) => percent(share, 2));
  return t("table.verdict", {
    name: nameOf(one.model), base: nameOf(found.reference), outcome: t(`table.outcome.${one.outcome}`), accuracy: t(`table.accuracy.${one.accuracy}`),
    low, high, memory: one.memory, own, other, first: one.alone[0], second: one.alone[1], p: one.p < 1e-4 ? "< 0.0001" : `= ${one.p.toPrecision(2)}`,
  });
}

const nameOf = (name) => { const model = modelOf(name); return model ? titleOf(model) : name; };

function draw() {
  const head = () => element("tr", {}, element("th", {}, ""), ...found.models.map((name) => element("th", { scope: "col" }, nameOf(name) + (name === found.reference ? ` (${t("compare.reference")})` : ""))));
  const row = (line) => element("tr", {}, element("th", { scope: "row" }, translated(line.label)), ...line.values.map((value, place) => {
    const ratio = line.ratios[place] && found.models[place] !== found.reference ? line.ratios[place] : "";
    return element("td", {}, value, ratio ? element("small", {}, ` ${ratio}`) : null);
  }));
  const table = (rows) => element("div", { class: "scroll", tabindex: 0 }, element("table", {}, ...rows));
  parts.result.replaceChildren(
    element("section", { class: "block" }, element("h2", {}, t("compare.verdict")), ...found.verdict.map((sentence) => element("p", { class: "sentence" }, said(sentence)))),
    ...found.sections.map((part) => element("section", { class: "block" }, element("h2", {}, translated(part.title)), table([element("thead", {}, head()), element("tbody", {}, ...part.lines.map(row))]), part.remark ? element("p", { class: "hint" }, translated(part.remark)) : null)),
    element("section", { class: "block" }, element("h2", {}, t("compare.pairs")), table([element("thead", {}, element("tr", {}, ...found.pairs[0].map((cell) => element("th", {}, translated(cell))))), element("tbody", {}, ...found.pairs.slice(1).map((cells) => element("tr", {}, ...cells.map((cell, place) => element("td", {}, place ? translated(cell) : cell.split(", ").map(nameOf).join(t("table.and", {}, ", ")))))))])));
}
