// Maximum pooling: of each window of side x side values the largest one is kept.

/**
 * @param {{input: number[], output: number[], side: number}} layer  input and output are [planes, rows, columns]
 * @param {Float32Array} x  [planes, rows, columns]
 * @returns {Float32Array} [planes, rows, columns], each side divided by `side`, a remainder left out
 */
export function maxPooling(layer, x) {
  const [, rowsIn, columnsIn] = layer.input;
  const [planes, rows, columns] = layer.output;
  const { side } = layer;
  const y = new Float32Array(planes * rows * columns);
  for (let p = 0, at = 0; p < planes; p++) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++, at++) {
        let most = -Infinity;
        for (let i = 0; i < side; i++) {
          const line = (p * rowsIn + r * side + i) * columnsIn + c * side;
          for (let j = 0; j < side; j++) most = Math.max(most, x[line + j]);
        }
        y[at] = most;
      }
    }
  }
  return y;
}
