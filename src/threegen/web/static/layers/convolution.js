// A convolution at every place, with a border of zeros: y[o] = b[o] + sum over planes and window of W[o] x.

/**
 * @param {{weight: Float32Array, bias: Float32Array, input: number[], output: number[], window: number,
 *   padding: number}} layer  weight [planes out, planes in, window, window]; input and output are [planes, rows, columns]
 * @param {Float32Array} x  [planes in, rows, columns]
 * @returns {Float32Array} [planes out, rows, columns]; sums in double precision, rounded once
 */
export function convolution(layer, x) {
  const { weight, bias, window, padding } = layer;
  const [planesIn, rowsIn, columnsIn] = layer.input;
  const [planesOut, rows, columns] = layer.output;
  const y = new Float32Array(planesOut * rows * columns);
  for (let o = 0, at = 0; o < planesOut; o++) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++, at++) {
        let sum = bias[o];
        for (let p = 0; p < planesIn; p++) {
          const own = (o * planesIn + p) * window * window;
          for (let i = 0; i < window; i++) {
            const row = r + i - padding;
            if (row < 0 || row >= rowsIn) continue;
            const line = (p * rowsIn + row) * columnsIn;
            for (let j = 0; j < window; j++) {
              const column = c + j - padding;
              if (column >= 0 && column < columnsIn) sum += weight[own + i * window + j] * x[line + column];
            }
          }
        }
        y[at] = sum;
      }
    }
  }
  return y;
}
