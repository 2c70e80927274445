// Export: what the page shows now, as one HTML file that needs no server: styles inside, canvases as pictures.
import { state } from "./state.js";
import { t } from "./text.js";

export async function snapshot() {
  const copy = document.documentElement.cloneNode(true), live = document.documentElement;
  const shown = [...live.querySelectorAll("canvas")];
  [...copy.querySelectorAll("canvas")].forEach((canvas, place) => {
    const image = document.createElement("img"), source = shown[place];
    try { image.src = source.toDataURL("image/png"); } catch { image.src = "data:,"; }
    image.alt = source.getAttribute("aria-label") || "";
    image.className = source.className;
    if (source.id) image.id = source.id;
    image.style.imageRendering = source.width <= 64 ? "pixelated" : "auto";
    canvas.replaceWith(image);
  });
  const styles = await Promise.all([...live.querySelectorAll('link[rel="stylesheet"]')].map(async (link) => (await fetch(link.href)).text()));
  copy.querySelectorAll("script, link, .tools, .skip, input, select, [hidden]").forEach((one) => one.remove());
  copy.querySelectorAll("button").forEach((one) => { one.disabled = true; one.removeAttribute("id"); });
  copy.querySelectorAll("[role=tablist]").forEach((one) => one.remove());
  const style = document.createElement("style");
  style.textContent = styles.join("\n");
  const data = document.createElement("script");
  data.type = "application/json"; data.id = "threegen-state";
  const { seen, ...rest } = state;
  data.textContent = JSON.stringify({ ...rest, seen: seen ? Array.from(seen) : null }).replaceAll("<", "\\u003c");
  copy.querySelector("head").append(style);
  copy.querySelector("body").append(data);
  copy.querySelector(".foot p").textContent = t("export.foot", { date: new Date().toISOString().slice(0, 16).replace("T", " "), address: location.hash || "#" });
  return `<!doctype html>\n${copy.outerHTML}`;
}

export async function saveSnapshot() {
  const address = URL.createObjectURL(new Blob([await snapshot()], { type: "text/html" }));
  const link = document.createElement("a");
  link.href = address; link.download = "threegen-page.html";
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
