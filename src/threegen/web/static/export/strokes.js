// A drawing in the form of MNIST's images: what threegen.datasets.strokes does in Python, step by step the same.
//
// The points are boxed and scaled, drawn once at four times the resolution, averaged, and moved by whole pixels until the
// center of mass is at pixel 14.

import { roundHalfEven } from "../layers/bernoulli.js";

const SIDE = 28;
const BOX = 20;
const CENTER = 14;
const FINE = 4; // fine pixels along a pixel of the image
export const LINE = 2.6; // pixels, the width of the pen

/**
 * @param {number[][][]} strokes  each a list of points [x, y]; y grows downwards
 * @returns {Float32Array | null} an image [784] in 0..1; null where nothing is drawn
 */
export function mnistForm(strokes, line = LINE) {
  const pieces = strokes.flatMap((stroke) =>
    stroke.length === 1 ? [[stroke[0], stroke[0]]] : stroke.slice(1).map((point, i) => [stroke[i], point]),
  );
  if (!pieces.length) return null;
  const points = pieces.flat();
  const low = [0, 1].map((axis) => points.reduce((least, point) => Math.min(least, point[axis]), Infinity));
  const high = [0, 1].map((axis) => points.reduce((most, point) => Math.max(most, point[axis]), -Infinity));
  const longer = Math.max(high[0] - low[0], high[1] - low[1]);
  const scale = longer > 0 ? (BOX - line) / longer : 0;
  const placed = (point) => point.map((value, axis) => (value - low[axis]) * scale + line / 2);
  const [width, height] = [0, 1].map((axis) =>
    Math.max(1, Math.ceil((high[axis] - low[axis]) * scale + line - 1e-6)),
  );
  return centered(drawn(pieces.map((piece) => piece.map(placed)), height, width, line), height, width);
}

/** How much of each pixel [height, width] lies within half a line of a piece. */
function drawn(pieces, height, width, line) {
  const half = line / 2;
  const columns = width * FINE;
  const covered = new Uint8Array(height * FINE * columns);
  for (const [[x0, y0], [x1, y1]] of pieces) {
    const [top, bottom] = around(y0, y1, half, height * FINE);
    const [left, right] = around(x0, x1, half, columns);
    const dx = x1 - x0;
    const dy = y1 - y0;
    const length = Math.max(dx * dx + dy * dy, 1e-12);
    for (let r = top; r < bottom; r++) {
      const down = (r + 0.5) / FINE - y0;
      for (let c = left; c < right; c++) {
        const across = (c + 0.5) / FINE - x0;
        const share = Math.min(1, Math.max(0, (across * dx + down * dy) / length));
        const farX = across - share * dx;
        const farY = down - share * dy;
        if (farX * farX + farY * farY <= half * half) covered[r * columns + c] = 1;
      }
    }
  }
  const ink = new Float32Array(height * width);
  covered.forEach((one, at) => {
    const row = Math.floor(at / columns / FINE);
    ink[row * width + Math.floor((at % columns) / FINE)] += one / (FINE * FINE);
  });
  return ink;
}

/** The fine pixels along an axis, from and up to, that a piece between two places can reach. */
function around(first, last, half, length) {
  const from = Math.floor((Math.min(first, last) - half) * FINE) - 1;
  const upTo = Math.ceil((Math.max(first, last) + half) * FINE) + 1;
  return [Math.max(0, from), Math.min(length, upTo)];
}

/** 28 x 28 pixels with the center of mass of the box at pixel 14, or as near as its ink allows. */
function centered(box, height, width) {
  let mass = 0;
  const moments = [0, 0];
  box.forEach((value, at) => {
    mass += value;
    moments[0] += value * Math.floor(at / width);
    moments[1] += value * (at % width);
  });
  const [top, left] = [height, width].map((length, axis) => {
    const middle = Math.fround(moments[axis] / mass);
    return Math.min(Math.max(roundHalfEven(CENTER - middle), 0), SIDE - length);
  });
  const page = new Float32Array(SIDE * SIDE);
  for (let r = 0; r < height; r++) page.set(box.subarray(r * width, (r + 1) * width), (top + r) * SIDE + left);
  return page;
}
