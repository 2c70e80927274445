// All sentences of the page come from text.json, in the language that is chosen.
let all = {}, language = "en";
const listeners = [];

export async function loadText() {
  all = await (await fetch("/static/text.json")).json();
  const wanted = localStorage.getItem("threegen-language") || (navigator.language || "en").slice(0, 2);
  setLanguage(all[wanted] ? wanted : "en");
}

export function setLanguage(name) {
  language = all[name] ? name : "en";
  document.documentElement.lang = language === "zh" ? "zh-CN" : language;
  localStorage.setItem("threegen-language", language);
  fill(document);
  for (const listener of listeners) listener();
}

export const currentLanguage = () => language;
export const otherLanguage = () => (language === "en" ? "zh" : "en");
export const onLanguage = (listener) => listeners.push(listener);

/** The text of a key; {name} is replaced by values. An unknown key gives the fallback. */
export function t(key, values = {}, fallback = key) {
  const found = all[language]?.[key] ?? all.en?.[key] ?? fallback;
  return found.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export const has = (key) => key in (all[language] ?? {});

export function fill(root) {
  for (const one of root.querySelectorAll("[data-t]")) one.textContent = t(one.dataset.t);
  for (const one of root.querySelectorAll("[data-t-label]")) one.setAttribute("aria-label", t(one.dataset.tLabel));
}

const locale = () => (language === "zh" ? "zh-CN" : "en");

export const percent = (share, digits = 0) =>
  share.toLocaleString(locale(), { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });

/** A count in words; which words there are, and from which size on, is for the language to say: 万 is ten thousand. */
export function amount(value) {
  if (value === null || value === undefined) return "–";
  if (value < 10000) return Math.round(value).toLocaleString(locale());
  const units = t("units").split(", ").map((one) => one.split(" "));
  const [size, unit] = units.findLast(([least]) => value >= Number(least));
  const scaled = value / size;
  return `${scaled.toLocaleString(locale(), { maximumFractionDigits: scaled < 10 ? 2 : scaled < 100 ? 1 : 0 })} ${unit}`;
}

export function bytes(value) {
  if (value < 1024) return `${value} B`;
  const [size, unit] = value < 1048576 ? [1024, "KiB"] : [1048576, "MiB"];
  const scaled = value / size;
  return `${scaled.toLocaleString(locale(), { maximumFractionDigits: scaled < 10 ? 1 : 0 })} ${unit}`;
}
