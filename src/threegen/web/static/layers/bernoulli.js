// Rate coding: at each time step a pixel spikes with a chance equal to its intensity.
//
// The draws are those of threegen.functional.encoding: one hash of (key, pixel, step / 4) gives a pixel 16 bits for each
// of four steps. The same key gives the same spikes as in Python.

const MASK = (1n << 64n) - 1n;
const GOLDEN = 0x9e3779b97f4a7c15n;

/** The finalizer of SplitMix64 (Steele, Lea and Flood 2014). */
function hashed(z) {
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
}

/** To the nearest whole number, from the middle to the even one. */
export function roundHalfEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

/**
 * @param {{steps: number, key: string}} layer  the key is a whole number in decimal digits
 * @param {Float32Array} x  [pixels] in 0..1
 * @returns {{spikes: number[][]}} for each step the numbers of the pixels that spike, ascending
 */
export function bernoulli(layer, x) {
  const { steps } = layer;
  const start = hashed(BigInt(layer.key));
  const spikes = Array.from({ length: steps }, () => []);
  for (let i = 0; i < x.length; i++) {
    const limit = roundHalfEven(x[i] * 65536);
    if (limit <= 0) continue;
    for (let quarter = 0; quarter * 4 < steps; quarter++) {
      const z = (start + GOLDEN * BigInt(quarter * x.length + i + 1)) & MASK;
      const bits = hashed(z);
      const halves = [Number(bits & 0xffffffffn), Number(bits >> 32n)];
      for (let t = 4 * quarter; t < Math.min(steps, 4 * quarter + 4); t++) {
        const half = halves[(t >> 1) & 1];
        const level = t & 1 ? half >>> 16 : half & 0xffff;
        if (level < limit) spikes[t].push(i);
      }
    }
  }
  return { spikes };
}
