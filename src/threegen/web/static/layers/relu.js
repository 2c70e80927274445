// The rectifier: negative values become 0.

/**
 * @param {object} layer  nothing
 * @param {Float32Array} x  any number of values
 * @returns {Float32Array} as many
 */
export function relu(layer, x) {
  return x.map((value) => (value > 0 ? value : 0));
}
