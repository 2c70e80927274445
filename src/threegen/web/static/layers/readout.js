// The read-out by rate: the mean spikes of each output neuron; equal rates are ordered by the summed input.

/**
 * @param {object} layer  nothing
 * @param {{counts: Float32Array, currents: Float32Array, steps: number}} last  what the last spiking layer returned
 * @returns {Float32Array} the scores [classes]: the rates, and a tenth of 1/T shared out by the rank of the input
 */
export function rate(layer, last) {
  const classes = last.counts.length;
  const order = Array.from(last.currents.keys()).sort((a, b) => last.currents[a] - last.currents[b] || a - b);
  const scores = new Float32Array(classes);
  order.forEach((k, rank) => {
    scores[k] = last.counts[k] / last.steps + (rank * 0.1) / (last.steps * classes);
  });
  return scores;
}
