// Sliders that damage what the networks see, and the units that are switched off.
import { state } from "./state.js";
import { t } from "./text.js";

const NAMES = ["noise", "rotation", "right", "down", "width"];
const get = (id) => document.getElementById(id);
const shown = {
  noise: (v) => `${Math.round(100 * v)} %`, rotation: (v) => `${v}°`, right: (v) => `${v} px`, down: (v) => `${v} px`, width: (v) => `× ${v.toFixed(2)}`,
};

export function makeDamage(changed) {
  for (const name of NAMES) {
    get(name).value = state.damage[name];
    get(name).oninput = () => { state.damage[name] = Number(get(name).value); describeDamage(); changed(); };
  }
  get("damage").open = NAMES.some((name) => state.damage[name] !== (name === "width" ? 1 : 0));
  get("repair").onclick = () => {
    Object.assign(state.damage, { noise: 0, rotation: 0, right: 0, down: 0, width: 1 });
    state.off = {};
    for (const name of NAMES) get(name).value = state.damage[name];
    describeDamage(); changed();
  };
}

export function describeDamage() {
  for (const name of NAMES) get(name).closest("label").querySelector("output").textContent = shown[name](state.damage[name]);
  const off = Object.values(state.off).flatMap(Object.values).reduce((sum, units) => sum + units.length, 0);
  get("off").hidden = !off;
  get("off").textContent = off ? t("damage.off", { count: off }) : "";
}
