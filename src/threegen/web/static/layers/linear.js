// A fully connected layer: y = W x + b.

/**
 * @param {{weight: Float32Array, bias: Float32Array}} layer  weight [outputs, inputs], one row per output
 * @param {Float32Array} x  [inputs]
 * @returns {Float32Array} [outputs]; sums in double precision, rounded once
 */
export function linear(layer, x) {
  const { weight, bias } = layer;
  const inputs = x.length;
  const y = new Float32Array(bias.length);
  for (let o = 0, at = 0; o < y.length; o++, at += inputs) {
    let sum = bias[o];
    for (let i = 0; i < inputs; i++) sum += weight[at + i] * x[i];
    y[o] = sum;
  }
  return y;
}
