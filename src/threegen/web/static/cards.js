// One card for each model: digit, shares, who it is, what the answer cost.
import { element, paintHeat, place, decoded } from "./draw.js";
import { state, modelOf } from "./state.js";
import { amount, bytes, has, percent, t } from "./text.js";

const cards = new Map();

export const titleOf = (model) => t(`model.${model.name}.title`, {}, model.title);

export function makeCards(lookInside) {
  const holder = document.getElementById("cards");
  cards.clear();
  holder.replaceChildren(...state.models.map((model) => {
    const bars = Array.from({ length: 10 }, (_, digit) => element("span", {}, element("b", {}, element("i")), String(digit)));
    const parts = {
      digit: element("span", { class: "digit" }), sign: element("span", { class: "sign" }), bars,
      chart: element("div", { class: "bars", role: "img" }, ...bars),
      heat: element("canvas", { class: "heat", width: 28, height: 28, role: "img" }),
      facts: element("dl", { class: "facts" }), look: element("button", { class: "quiet", onclick: () => lookInside(model.name) }),
      title: element("h3"), meta: element("p", { class: "meta" }), time: element("span", { class: "hint" }),
    };
    parts.root = element("article", { class: "card", "data-name": model.name, "data-spiking": model.spiking },
      element("header", {}, parts.title, parts.meta),
      element("div", { class: "says" }, element("p", {}, parts.digit, parts.sign), parts.heat),
      parts.chart, parts.facts, element("footer", {}, parts.look, parts.time));
    cards.set(model.name, parts);
    return parts.root;
  }));
  describeCards();
}

export function describeCards() {
  for (const [name, parts] of cards) {
    const model = modelOf(name);
    parts.title.textContent = titleOf(model);
    parts.meta.textContent = t("card.meta", { year: model.year, generation: model.generation });
    parts.look.textContent = t("card.look");
    parts.look.setAttribute("aria-label", t("card.look.of", { name: titleOf(model) }));
    parts.root.classList.toggle("selected", state.inside === name);
    showFacts(name);
    showAnswer(name);
    showHeat(name);
  }
}

/** Write only what changes: while the pen moves most of a card stays as it is, and need not be laid out anew. */
const write = (one, text) => { if (one.textContent !== text) one.textContent = text; };

export function late() { for (const parts of cards.values()) parts.root.classList.add("late"); }

/** Confidence says "I don't know" below the threshold. */
const decided = (answer) => answer && answer.digit !== null && answer.digit !== undefined && Math.max(...answer.shares) >= state.threshold;

export function showAnswer(name) {
  const parts = cards.get(name), answer = state.answers[name];
  if (!parts) return;
  parts.root.classList.remove("late");
  const sure = decided(answer);
  parts.digit.classList.toggle("unsure", !sure);
  write(parts.digit, !answer ? "" : answer.error ? answer.error : answer.digit === null ? t("silent") : sure ? String(answer.digit) : t("unsure"));
  const shares = answer?.shares ?? Array(10).fill(0), best = answer?.digit;
  parts.bars.forEach((bar, digit) => {
    bar.classList.toggle("best", digit === best);
    const height = `${Math.round(100 * shares[digit])}%`, inner = bar.firstChild.firstChild;
    if (inner.style.height !== height) inner.style.height = height;
  });
  parts.chart.setAttribute("aria-label", answer?.shares ? t("card.shares", { digit: best ?? "–", share: percent(Math.max(...shares)) }) : "");
  if (!sure) {
    parts.sign.classList.remove("differs");
    write(parts.sign, answer?.shares && best !== null ? percent(Math.max(...shares)) : "");
  }
}

/** What most say, and who agrees; the sentence is read aloud at most once a second. */
export function showAgreement() {
  const given = state.models.map((model) => [model, state.answers[model.name]]).filter(([, answer]) => answer);
  const counts = new Map();
  for (const [, answer] of given) if (decided(answer)) counts.set(answer.digit, (counts.get(answer.digit) || 0) + 1);
  const [digit, votes] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [null, 0];
  const list = document.getElementById("agreement");
  const marks = given.map(([model, answer]) => {
    const said = decided(answer) ? String(answer.digit) : "?", agrees = decided(answer) && answer.digit === digit;
    const sentence = t(agrees ? "agrees" : decided(answer) ? "differs" : "undecided", { name: titleOf(model), digit: said });
    const parts = cards.get(model.name);
    parts.sign.classList.toggle("differs", decided(answer) && !agrees);
    if (decided(answer)) write(parts.sign, `${percent(Math.max(...answer.shares))} · ${t(agrees ? "sign.agrees" : "sign.differs")}`);
    return [agrees ? "agrees" : "", said, sentence];
  });
  if (list.dataset.marks !== String(marks)) {
    list.dataset.marks = String(marks);
    list.replaceChildren(...marks.map(([kind, said, sentence]) => element("li", { class: kind, title: sentence }, said, element("span", { class: "visually-hidden" }, ` ${sentence}`))));
  }
  if (!given.length) return t("empty");
  if (digit === null) return t("nobody");
  const truth = state.label === null ? "" : ` ${t(state.label === digit ? "label.right" : "label.wrong", { digit: state.label })}`;
  return t(votes === state.models.length ? "verdict.all" : "verdict", { votes, all: state.models.length, digit, word: t(`digit.${digit}`) }) + truth;
}

export function showFacts(name) {
  const parts = cards.get(name), model = modelOf(name), cost = state.costs[name];
  if (!parts) return;
  const rows = [[t("card.accuracy"), model.accuracy === null ? t("card.measuring") : percent(model.accuracy, 1)],
    [t("card.operations"), cost && !cost.error ? amount(cost.total) : "–"],
    [t("card.memory"), cost && !cost.error ? bytes(cost.memory.total) : "–"]];
  if (model.spiking) rows.push([t("card.spikes"), cost && cost.spikes !== null && !cost.error ? amount(cost.spikes) : "–"]);
  const rule = has(`model.${name}.rule`) ? t(`model.${name}.rule`) : model.rule;
  const note = has(`model.${name}.note`) ? [element("dd", { class: "full note" }, t(`model.${name}.note`))] : [];
  parts.facts.replaceChildren(element("dd", { class: "full" }, rule), ...note, ...rows.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]));
}

/** The stroke has changed: every card shows it, below the evidence of before until new evidence comes. */
export function showStroke() {
  let plain = null;
  for (const [name, parts] of cards) {
    if (state.heats[name]?.map) { showHeat(name); continue; }
    if (plain) parts.heat.getContext("2d").drawImage(plain, 0, 0);
    else { paintHeat(parts.heat, null, state.seen); plain = parts.heat; }
  }
}

export function showHeat(name) {
  const parts = cards.get(name), heat = state.heats[name];
  if (!parts || !state.seen) return parts && parts.heat.getContext("2d").clearRect(0, 0, 28, 28);
  const evidence = heat?.map ? Float32Array.from(new Int8Array(decoded(heat.map).buffer), (v) => v / 127) : null;
  paintHeat(parts.heat, evidence, state.seen);
  const where = evidence && place(evidence);
  const sentence = where ? t("why.where", { place: t(`place.${where}`), digit: heat.target }) : heat?.error ? t(heat.code === "flat" ? "why.flat" : `why.cannot.${heat.method}`, {}, heat.error) : t("why.none");
  parts.heat.setAttribute("aria-label", sentence);
  parts.heat.title = sentence;
  parts.time.textContent = heat?.error ? t(heat.code === "flat" ? "why.flat.short" : "why.not") : "";
}
