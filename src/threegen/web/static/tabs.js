// Three tabs; arrows move between them, and the chosen one stands in the address.
import { state, writeAddress } from "./state.js";

const NAMES = ["draw", "train", "compare"];
const tab = (name) => document.getElementById(`tab-${name}`);

export function makeTabs() {
  NAMES.forEach((name, place) => {
    tab(name).onclick = () => choose(name);
    tab(name).onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = NAMES[(place + step + NAMES.length) % NAMES.length];
      choose(next); tab(next).focus();
    };
  });
  choose(NAMES.includes(state.tab) ? state.tab : "draw");
}

function choose(chosen) {
  state.tab = chosen;
  for (const name of NAMES) {
    tab(name).setAttribute("aria-selected", String(name === chosen));
    tab(name).tabIndex = name === chosen ? 0 : -1;
    document.getElementById(`panel-${name}`).hidden = name !== chosen;
  }
  document.dispatchEvent(new CustomEvent("tab", { detail: chosen }));
  writeAddress();
}
