// A network as a list of layers, each computed by its own file in ../layers.

import { bernoulli } from "../layers/bernoulli.js";
import { convolution } from "../layers/convolution.js";
import { linear } from "../layers/linear.js";
import { maxPooling } from "../layers/pooling.js";
import { rate } from "../layers/readout.js";
import { relu } from "../layers/relu.js";
import { spiking } from "../layers/spiking.js";

const KINDS = { bernoulli, convolution, linear, "max-pooling": maxPooling, rate, relu, spiking };

/** The numbers that `export_page.py` wrote as base64: of "float16" or "float32", little-endian. */
export function numbers(packed) {
  const bytes = Uint8Array.from(atob(packed.base64), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  if (packed.type === "float32") {
    return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  }
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => halfPrecision(view.getUint16(2 * i, true)));
}

/** A number of IEEE 754 half precision: sign, 5 bits of exponent, 10 bits of fraction. */
function halfPrecision(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

/** The network with its weights unpacked. */
export function unpacked(net) {
  const layers = net.layers.map((layer) => ({
    ...layer,
    ...(layer.weight ? { weight: numbers(layer.weight), bias: numbers(layer.bias) } : {}),
  }));
  return { ...net, layers };
}

/**
 * What a network answers to an image [784] in 0..1.
 *
 * `scores` [classes], larger is better; `shares`, their softmax at the network's temperature; `digit`, null where all
 * scores are equal; `spikes`, how many its neurons sent, null where nothing spikes.
 */
export function answer(net, image) {
  let signal = image;
  let spikes = null;
  for (const layer of net.layers) {
    signal = KINDS[layer.kind](layer, signal);
    if (layer.kind === "spiking") spikes = (spikes ?? 0) + signal.counts.reduce((sum, count) => sum + count, 0);
  }
  const most = Math.max(...signal);
  const parts = Array.from(signal, (score) => Math.exp((score - most) / net.temperature));
  const whole = parts.reduce((sum, part) => sum + part, 0);
  const silent = signal.every((score) => score === signal[0]);
  return {
    scores: Array.from(signal),
    shares: parts.map((part) => part / whole),
    digit: silent ? null : signal.indexOf(most),
    spikes,
  };
}
