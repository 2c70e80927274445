// What the page shows: the drawing or picture, damage, choices. Choices are kept in the address.
export const state = {
  models: [], strokes: [], image: null, label: null, note: "", seen: null, answers: {}, costs: {}, heats: {},
  damage: { noise: 0, rotation: 0, right: 0, down: 0, width: 1 }, threshold: 0.3, method: "saliency",
  off: {}, inside: null, tab: "draw", seed: 0,
};

const SAVED = ["threshold", "method", "inside", "tab", "seed"];

export function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of SAVED) {
    if (!given.has(name)) continue;
    const value = given.get(name);
    if (typeof state[name] !== "number") state[name] = value;
    else if (Number.isFinite(Number(value))) state[name] = Number(value);
  }
  for (const name of Object.keys(state.damage)) {
    const value = Number(given.get(name));
    if (given.has(name) && Number.isFinite(value)) state.damage[name] = value;
  }
  if (given.has("digit")) state.first = given.get("digit");
}

export function writeAddress() {
  const now = new URLSearchParams();
  const usual = { threshold: 0.3, method: "saliency", inside: null, tab: "draw", seed: 0 };
  for (const name of SAVED) if (state[name] !== usual[name] && state[name] !== null) now.set(name, state[name]);
  for (const [name, value] of Object.entries(state.damage)) if (value !== (name === "width" ? 1 : 0)) now.set(name, value);
  const text = now.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname);
}

/** The question that the server gets; null where nothing is drawn. */
export function question() {
  const rest = { damage: state.damage, seed: state.seed };
  if (Object.keys(state.off).length) rest.off = state.off;
  if (state.image) return { image: state.image, ...rest };
  return state.strokes.length ? { strokes: state.strokes, ...rest } : null;
}

export const modelOf = (name) => state.models.find((one) => one.name === name);
