// The pad: mouse, pen, finger or keyboard. It keeps strokes as points on a field of 280 x 280.
import { colour, decoded } from "./draw.js";
import { state } from "./state.js";

const SIDE = 280, LINE = 20, APART = 1.5, STEP = 10, FINE = 3, MOST = 3500;
let canvas, context, changed, pointer = null, samples = {};
const keyboard = { x: SIDE / 2, y: SIDE / 2, down: false, shown: false };

export async function makePad(onChange) {
  canvas = document.getElementById("pad"); context = canvas.getContext("2d"); changed = onChange;
  samples = await (await fetch("/static/samples.json")).json();
  canvas.addEventListener("pointerdown", begin);
  canvas.addEventListener("pointermove", move);
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, end);
  canvas.addEventListener("keydown", key);
  canvas.addEventListener("blur", () => { keyboard.shown = false; keyboard.down = false; paint(); });
  new MutationObserver(paint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  paint();
}

const at = (event) => {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE].map((v) => Math.round(v * 10) / 10);
};

const room = () => state.strokes.reduce((sum, one) => sum + one.length, 0) < MOST;

/** A stroke starts anew over a picture, which is not made of strokes. */
function start(point) {
  if (state.image) { state.image = null; state.label = null; state.note = ""; state.strokes = []; }
  if (room()) state.strokes.push([point]);
}

function add(point) {
  const stroke = state.strokes.at(-1), last = stroke?.at(-1);
  if (!last || !room() || Math.hypot(point[0] - last[0], point[1] - last[1]) < APART) return false;
  stroke.push(point);
  return true;
}

function begin(event) {
  if (pointer !== null || event.button > 0) return; // a second finger, or the palm beside the pen
  pointer = event.pointerId;
  canvas.setPointerCapture(pointer);
  keyboard.shown = false;
  start(at(event));
  tell();
}

function move(event) {
  if (event.pointerId !== pointer) return;
  const between = event.getCoalescedEvents?.() ?? [];
  const before = state.strokes.at(-1)?.length ?? 0;
  let more = false;
  for (const one of between.length ? between : [event]) more = add(at(one)) || more;
  if (more) { paintTail(before); changed(); }
}

function end(event) { if (event.pointerId === pointer) pointer = null; }

function tell() { paint(); changed(); }

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in MOVES) {
    const step = event.shiftKey ? FINE : STEP, [dx, dy] = MOVES[event.key];
    keyboard.x = Math.min(SIDE, Math.max(0, keyboard.x + step * dx)); keyboard.y = Math.min(SIDE, Math.max(0, keyboard.y + step * dy));
    keyboard.shown = true;
    if (keyboard.down) { add([keyboard.x, keyboard.y]); tell(); } else paint();
  } else if (event.key === " " || event.key === "Enter") {
    keyboard.down = !keyboard.down; keyboard.shown = true;
    if (keyboard.down) start([keyboard.x, keyboard.y]);
    tell();
  } else if (/^[0-9]$/.test(event.key)) drawSample(event.key);
  else if (event.key === "Backspace") undo();
  else if (event.key === "Delete" || event.key === "Escape") clear();
  else return;
  event.preventDefault();
}

/** Draw a digit as a hand would: also the way in for those who cannot draw. */
export function drawSample(digit) {
  if (!samples[digit]) return;
  Object.assign(state, { image: null, label: null, note: "", strokes: samples[digit].map((stroke) => stroke.map((point) => [...point])) });
  tell();
}

export function undo() { if (state.image) return clear(); state.strokes.pop(); tell(); }

export function clear() {
  Object.assign(state, { strokes: [], image: null, label: null, note: "" });
  keyboard.down = false;
  tell();
}

export function paint() {
  const scale = canvas.width / SIDE;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, SIDE, SIDE);
  if (state.image) paintPicture();
  context.strokeStyle = context.fillStyle = colour("ink");
  context.lineWidth = LINE * state.damage.width; context.lineCap = context.lineJoin = "round";
  for (const stroke of state.strokes) {
    context.beginPath();
    context.moveTo(...stroke[0]);
    for (const point of stroke) context.lineTo(...point);
    context.stroke();
  }
  if (keyboard.shown) {
    context.strokeStyle = colour("accent"); context.lineWidth = 2; context.beginPath();
    context.arc(keyboard.x, keyboard.y, keyboard.down ? 6 : 10, 0, 7); context.stroke();
  }
}

/** Draw only what has come to the last stroke, from its point number `from` on. */
function paintTail(from) {
  const stroke = state.strokes.at(-1).slice(Math.max(0, from - 1));
  context.strokeStyle = colour("ink");
  context.lineWidth = LINE * state.damage.width; context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(...stroke[0]);
  for (const point of stroke.slice(1)) context.lineTo(...point);
  context.stroke();
}

function paintPicture() {
  const values = decoded(state.image), cell = SIDE / 28;
  context.fillStyle = colour("ink");
  values.forEach((value, i) => {
    context.globalAlpha = value / 255;
    if (value) context.fillRect((i % 28) * cell, Math.floor(i / 28) * cell, cell + 0.3, cell + 0.3);
  });
  context.globalAlpha = 1;
}
