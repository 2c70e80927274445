// The exported page: the pad, the cards, and the answers of the networks inside this file.

import { answer, unpacked } from "./network.js";
import { drawingPad } from "./pad.js";
import { mnistForm } from "./strokes.js";
import { WORDS, filled } from "./words.js";

const DATA = JSON.parse(document.getElementById("data").textContent);
const NETWORKS = DATA.networks.map(unpacked);
const find = (name) => document.getElementById(name);
const dark = matchMedia("(prefers-color-scheme: dark)");
let words = WORDS[navigator.language.startsWith("zh") ? "zh" : "en"];
let image = null;
let spoken = 0;

function element(kind, content = "", attributes = {}) {
  const made = document.createElement(kind);
  made.textContent = content;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** The bytes of an image as intensities in 0..1, float32. */
function intensities(text) {
  return Float32Array.from(atob(text), (letter) => letter.charCodeAt(0) / 255);
}

function showImage(canvas, values) {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(28, 28);
  for (let i = 0; i < 784; i++) {
    pixels.data.fill(values ? Math.round(255 * values[i]) : 0, 4 * i, 4 * i + 3);
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

/** The title or the rule of a network in the chosen language. */
function told(net, fact) {
  return (words === WORDS.zh && DATA.chinese[net.name]?.[fact]) || net[fact];
}

/** What a card says of a network: pairs of a name and a value. */
function facts(net) {
  const number = (value) => value.toLocaleString(document.documentElement.lang);
  const found = [[words.parameters, number(net.parameters)]];
  if (net.accuracy !== null) found.push([words.accuracy, `${(100 * net.accuracy).toFixed(2)} %`]);
  if (net.steps !== null) found.push([words.steps, number(net.steps)]);
  return found;
}

function makeCard(net) {
  const card = element("article", "", { class: "card", "data-model": net.name });
  const head = element("header");
  head.append(element("h3", told(net, "title")), element("p", filled(words.generation, net), { class: "meta" }));
  const bars = element("div", "", { class: "bars", role: "img" });
  net.classes.forEach((name) => {
    const column = element("span");
    const bar = element("b");
    bar.append(element("i"));
    column.append(bar, name);
    bars.append(column);
  });
  const list = element("dl", "", { class: "facts" });
  list.append(element("dd", told(net, "rule"), { class: "full" }));
  for (const [name, value] of facts(net)) list.append(element("dt", name), element("dd", value));
  const digit = element("p", "", { class: "digit" });
  card.append(head, digit, bars, list, element("p", "", { class: "spikes" }));
  return card;
}

function showAnswer(net, found) {
  const card = document.querySelector(`[data-model="${net.name}"]`);
  const digit = found?.digit ?? null;
  card.querySelector(".digit").textContent = digit === null ? (found ? words.silent : "") : net.classes[digit];
  card.querySelector(".digit").classList.toggle("unsure", digit === null);
  card.querySelector(".spikes").textContent =
    found && found.spikes !== null ? filled(words.spikes, { count: found.spikes }) : "";
  const shares = found ? found.shares : net.classes.map(() => 0);
  card.querySelectorAll(".bars span").forEach((column, k) => {
    column.querySelector("i").style.height = `${100 * shares[k]}%`;
    column.classList.toggle("best", k === digit);
  });
  const said = shares.map((share, k) => filled(words.share, { digit: net.classes[k], share: Math.round(100 * share) }));
  card.querySelector(".bars").setAttribute("aria-label", said.join(", "));
}

function answerAll() {
  showImage(find("seen"), image);
  const found = image === null ? [] : NETWORKS.map((net) => answer(net, image));
  NETWORKS.forEach((net, n) => showAnswer(net, found[n]));
  clearTimeout(spoken); // a screen reader hears the last state of a drawing, not every move of the pen
  spoken = setTimeout(() => (find("verdict").textContent = summary(found)), 300);
}

function summary(found) {
  if (!found.length) return words.empty;
  const votes = new Map();
  for (const { digit } of found) votes.set(digit, (votes.get(digit) ?? 0) + 1);
  votes.delete(null);
  if (!votes.size) return words.silent;
  const [digit, count] = [...votes].sort((a, b) => b[1] - a[1])[0];
  return filled(words.agree, { count, all: NETWORKS.length, digit: NETWORKS[0].classes[digit] });
}

/** Follow the light or dark look of the system. */
function followTheme() {
  document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
}

function writeWords() {
  document.documentElement.lang = words === WORDS.zh ? "zh" : "en";
  const count = NETWORKS.length;
  for (const node of document.querySelectorAll("[data-words]")) {
    node.textContent = filled(words[node.dataset.words], { count });
  }
  document.title = filled(words.title, { count });
  find("pad").setAttribute("aria-label", words.pad);
  find("seen").setAttribute("aria-label", words.seen);
  find("cards").replaceChildren(...NETWORKS.map(makeCard));
  find("others").replaceChildren(...DATA.others.map((one) => element("li", `${told(one, "title")} (${one.year})`)));
  find("samples").replaceChildren(...DATA.samples.map(sampleButton));
  answerAll();
}

function sampleButton(one) {
  const button = element("button", "", { type: "button", "data-digit": one.label });
  const label = filled(words.sample, { digit: one.label });
  const picture = element("canvas", "", { width: 28, height: 28, role: "img", "aria-label": label });
  showImage(picture, intensities(one.image));
  button.append(picture);
  button.addEventListener("click", () => {
    pad.clear();
    showing = intensities(one.image);
  });
  return button;
}

dark.addEventListener("change", followTheme);
followTheme();
let showing = null; // the test image that was chosen, until something is drawn
const pad = drawingPad(find("pad"), (strokes) => {
  if (strokes.some((stroke) => stroke.length)) showing = null;
  image = showing ?? mnistForm(strokes);
  answerAll();
});
find("clear").addEventListener("click", () => {
  showing = null;
  pad.clear();
});
find("undo").addEventListener("click", () => pad.undo());
find("language").addEventListener("click", () => {
  words = words === WORDS.zh ? WORDS.en : WORDS.zh;
  writeWords();
});
writeWords();
globalThis.threegen = { NETWORKS, answer, mnistForm, intensities }; // for the console and the tests
