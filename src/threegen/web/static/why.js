// Heat maps over the stroke: one method, chosen in one place, for every card.
import { Latest } from "./api.js";
import { state } from "./state.js";
import { t } from "./text.js";

export const METHODS = ["saliency", "guided", "grad-cam", "occlusion", "none"];
export const whyHelp = () => t(`method.${state.method}.help`);

export function makeWhy(show) {
  const asking = new Latest("/api/heat", {
    each: (line) => { if (line.name && line.method === state.method) { state.heats[line.name] = line; show(line.name); } },
  });
  return {
    ask: (body) => { if (state.method !== "none") asking.ask({ ...body, method: state.method }); },
    drop: () => asking.drop(),
  };
}
