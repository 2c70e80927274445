// A fully connected layer of leaky integrate-and-fire neurons, over all time steps.
//
//   u[t] = decay * u[t-1] * (1 - o[t-1]) + W x[t] + b        o[t] = 1 where u[t] >= threshold
//
// Wu, Deng, Li, Zhu and Shi, "Spatio-temporal backpropagation", Frontiers in Neuroscience 12:331 (2018).

/** The weight by inputs, so that a spike adds one row: computed once for a layer. */
function byInputs(layer) {
  if (!layer.rows) {
    const outputs = layer.bias.length;
    const inputs = layer.weight.length / outputs;
    layer.rows = new Float32Array(layer.weight.length);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) layer.rows[i * outputs + o] = layer.weight[o * inputs + i];
    }
  }
  return layer.rows;
}

/**
 * @param {{weight: Float32Array, bias: Float32Array, decay: number, threshold: number}} layer  weight [outputs, inputs]
 * @param {{spikes: number[][]}} train  for each step the numbers of the inputs that spike
 * @returns {{spikes: number[][], counts: Float32Array, currents: Float32Array, steps: number}}  the neurons that spike
 *   at each step; how often each did; its summed input over all steps
 */
export function spiking(layer, train) {
  const rows = byInputs(layer);
  const outputs = layer.bias.length;
  const potential = new Float32Array(outputs);
  const counts = new Float32Array(outputs);
  const summed = new Float64Array(outputs);
  const current = new Float64Array(outputs);
  const spikes = [];
  for (const arriving of train.spikes) {
    for (let o = 0; o < outputs; o++) current[o] = layer.bias[o];
    for (const i of arriving) {
      const at = i * outputs;
      for (let o = 0; o < outputs; o++) current[o] += rows[at + o];
    }
    const fired = [];
    for (let o = 0; o < outputs; o++) {
      summed[o] += current[o];
      potential[o] = layer.decay * potential[o] + current[o];
      if (potential[o] >= layer.threshold) {
        fired.push(o);
        counts[o] += 1;
        potential[o] = 0; // the hard reset: nothing of it is left at the next step
      }
    }
    spikes.push(fired);
  }
  return { spikes, counts, currents: Float32Array.from(summed), steps: train.spikes.length };
}
