// The page begins here: text, models, the pad, and who asks whom.
import { Latest, lines, post } from "./api.js";
import * as cards from "./cards.js";
import { describeDamage, makeDamage } from "./damage.js";
import { decoded, element, paintGrey } from "./draw.js";
import { saveSnapshot } from "./export.js";
import { describeInside, openInside, refreshInside, showUnits } from "./inside.js";
import { clear, drawSample, makePad, paint, undo } from "./pad.js";
import { question, readAddress, state, writeAddress } from "./state.js";
import { currentLanguage, loadText, onLanguage, otherLanguage, setLanguage, t } from "./text.js";
import { makeCompare } from "./compare.js";
import { makeTrain } from "./train.js";
import { makeTabs } from "./tabs.js";
import { METHODS, makeWhy, whyHelp } from "./why.js";

const UNFINISHED = 400; // ms until answers are summed up while some networks still answer
const SETTLED = 220; // ms after the last change until costs and heat maps are asked for
const get = (id) => document.getElementById(id);
let settle = 0, lastSaid = 0, saying = 0, agreeing = false, finished = false;

const answering = new Latest("/api/answer", { each: takeAnswer, problem: complain, idle: () => { document.body.dataset.idle = "yes"; } });
const costing = new Latest("/api/cost", { each: (line) => { if (line.name) { state.costs[line.name] = line; cards.showFacts(line.name); } } });
const why = makeWhy((name) => cards.showHeat(name));

function takeAnswer(line) {
  if (line.seen) {
    finished = false;
    state.seen = decoded(line.seen);
    paintGrey(get("seen"), state.seen);
    cards.showStroke();
  } else if (line.name) {
    state.answers[line.name] = line;
    cards.showAnswer(line.name);
    agree();
  } else if (line.done) {
    document.body.dataset.answered = String(performance.now());
    finished = true;
    agree();
  }
}

/** Lines that come together are summed up together. */
function agree() {
  if (agreeing) return;
  agreeing = true;
  queueMicrotask(() => { agreeing = false; say(cards.showAgreement(), finished ? 0 : UNFINISHED); });
}

/** The region that is read aloud changes at most once a second and not before `wait` ms; it ends with what holds. */
function say(sentence, wait = 0) {
  clearTimeout(saying);
  saying = setTimeout(() => {
    if (get("verdict").textContent !== sentence) { get("verdict").textContent = sentence; lastSaid = performance.now(); }
  }, Math.max(wait, 1000 - (performance.now() - lastSaid)));
}

function complain(problem) {
  if (problem.code === "empty") nothing();
  else say(problem.status ? problem.message : t("error.lost"));
}

function nothing() {
  Object.assign(state, { answers: {}, costs: {}, heats: {}, seen: null });
  const seen = get("seen");
  seen.getContext("2d").clearRect(0, 0, seen.width, seen.height);
  cards.describeCards();
  say(cards.showAgreement());
}

/** Something that the networks see has changed. */
export function changed() {
  const body = question();
  document.body.dataset.idle = "no";
  get("source").hidden = !state.note;
  get("source").textContent = state.note;
  clearTimeout(settle);
  if (!body) { answering.drop(); costing.drop(); why.drop(); nothing(); document.body.dataset.idle = "yes"; return; }
  answering.ask(body);
  settle = setTimeout(settled, SETTLED);
}

function settled() {
  const body = question();
  writeAddress();
  if (!body) return;
  costing.ask(body);
  why.ask(body);
  refreshInside();
}

async function loadModels() {
  for (;;) {
    try {
      const found = await (await fetch("/api/models")).json();
      const known = state.models.map((one) => one.name).join();
      state.models = found.models;
      if (known !== found.models.map((one) => one.name).join()) cards.makeCards(lookInside);
      else for (const model of state.models) cards.showFacts(model.name);
      if (!found.measuring) return;
    } catch { /* the server starts again, or is gone: ask once more */ }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

function lookInside(name) {
  state.inside = state.inside === name ? null : name;
  writeAddress();
  cards.describeCards();
  openInside(changed);
}

async function upload(file) {
  try {
    const small = await shrunk(file);
    const found = await post("/api/upload", small);
    Object.assign(state, { image: found.image, strokes: [], label: null, note: t(found.inverted ? "note.inverted" : "note.upload") });
    paint(); changed();
  } catch (problem) { say(problem.status ? problem.message : t("error.not-a-picture")); }
}

/** Shrink a photograph before it is sent: 560 pixels are more than enough for 28. */
async function shrunk(file) {
  let picture;
  try { picture = await createImageBitmap(file); } catch { return file; } // the server says what is wrong with it
  const scale = Math.min(1, 560 / Math.max(picture.width, picture.height));
  const canvas = element("canvas", { width: Math.max(1, Math.round(picture.width * scale)), height: Math.max(1, Math.round(picture.height * scale)) });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

async function pick() {
  const digit = get("pick-digit").value, wrong = get("pick-wrong").value;
  try {
    const found = await post("/api/test-image", {
      digit: digit === "" ? null : Number(digit), wrong_for: wrong || null, seed: Math.floor(Math.random() * 2 ** 31),
    });
    if (!found.image) return say(t("pick.none"));
    Object.assign(state, { image: found.image, strokes: [], label: found.label, note: t("note.test", { index: found.index, label: found.label }) });
    paint(); changed();
  } catch (problem) { complain(problem); }
}

function fillSelects() {
  const kept = (select, options) => { const before = select.value; select.replaceChildren(...options); if (before) select.value = before; };
  kept(get("pick-digit"), [element("option", { value: "" }, t("any")), ...Array.from({ length: 10 }, (_, d) => element("option", { value: d }, String(d)))]);
  kept(get("pick-wrong"), [element("option", { value: "" }, t("nobody.wrong")), ...state.models.map((one) => element("option", { value: one.name }, cards.titleOf(one)))]);
  kept(get("method"), METHODS.map((one) => element("option", { value: one }, t(`method.${one}`))));
  get("method").value = state.method;
  get("method-help").textContent = whyHelp();
  get("language").textContent = t("other.language");
  get("language").lang = otherLanguage() === "zh" ? "zh-CN" : "en";
  get("theme").textContent = t(document.documentElement.dataset.theme === "dark" ? "theme.light" : "theme.dark");
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  get("theme").textContent = t(name === "dark" ? "theme.light" : "theme.dark");
  cards.describeCards();
  refreshInside();
}

function wire() {
  get("clear").onclick = clear;
  get("undo").onclick = undo;
  get("file").onchange = (event) => { if (event.target.files[0]) upload(event.target.files[0]); event.target.value = ""; };
  get("pick").onclick = pick;
  get("language").onclick = () => setLanguage(otherLanguage());
  get("theme").onclick = () => { const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark"; localStorage.setItem("threegen-theme", next); setTheme(next); };
  get("export").onclick = saveSnapshot;
  const threshold = get("threshold"), shown = threshold.closest("label").querySelector("output");
  threshold.value = state.threshold;
  const say_threshold = () => { shown.textContent = `${Math.round(100 * state.threshold)} %`; };
  threshold.oninput = () => { state.threshold = Number(threshold.value); say_threshold(); for (const one of state.models) cards.showAnswer(one.name); say(cards.showAgreement()); writeAddress(); };
  say_threshold();
  get("method").onchange = (event) => { state.method = event.target.value; get("method-help").textContent = whyHelp(); state.heats = {}; for (const one of state.models) cards.showHeat(one.name); settled(); };
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) upload(event.dataTransfer.files[0]); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && question()) changed(); });
}

async function begin() {
  if (matchMedia("(max-width: 820px)").matches) for (const one of document.querySelectorAll(".left details")) one.open = false;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  document.documentElement.dataset.theme = localStorage.getItem("threegen-theme") || (dark.matches ? "dark" : "light");
  dark.addEventListener("change", (event) => { if (!localStorage.getItem("threegen-theme")) setTheme(event.matches ? "dark" : "light"); });
  readAddress();
  await loadText();
  await makePad(() => { changed(); });
  makeDamage(() => { paint(); changed(); showUnits(); });
  wire();
  const first = loadModels();
  while (!state.models.length) await new Promise((resolve) => setTimeout(resolve, 20));
  fillSelects();
  makeTabs();
  makeTrain(loadModels);
  makeCompare();
  onLanguage(() => { fillSelects(); cards.describeCards(); describeDamage(); describeInside(); say(cards.showAgreement()); });
  describeDamage();
  drawSample(state.first ?? "7");
  if (state.inside) openInside(changed);
  document.body.dataset.ready = currentLanguage();
  await first;
}

begin();
