// Small drawings on canvas: images, heat maps, lines.
export const decoded = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));

export const element = (kind, attributes = {}, ...children) => {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((one) => one !== null && one !== undefined));
  return made;
};

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Paint grey values 0..255 as light ink on black. */
export function paintGrey(canvas, values, width = 28) {
  const height = values.length / width, image = new ImageData(width, height);
  values.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  canvas.width = width; canvas.height = height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const FOR = [236, 112, 20], AGAINST = [40, 120, 200];

/** Paint evidence -1..1 over an image: orange speaks for the answer, blue against it; the stroke shows through. */
export function paintHeat(canvas, evidence, seen, width = 28) {
  const dark = document.documentElement.dataset.theme === "dark";
  const paper = dark ? [36, 40, 47] : [239, 239, 235], ink = dark ? [236, 238, 242] : [27, 29, 33];
  const image = new ImageData(width, evidence ? evidence.length / width : seen.length / width);
  for (let i = 0; i < image.data.length / 4; i++) {
    const stroke = seen ? seen[i] / 255 : 0, value = evidence ? evidence[i] : 0, strong = Math.min(1, Math.abs(value));
    const aim = value > 0 ? FOR : AGAINST, share = 0.9 * strong ** 0.8;
    for (let c = 0; c < 3; c++) {
      const base = paper[c] + (ink[c] - paper[c]) * stroke * (evidence ? 0.55 : 0.85);
      image.data[4 * i + c] = base + (aim[c] - base) * share;
    }
    image.data[4 * i + 3] = 255;
  }
  if (canvas.width !== width || canvas.height !== image.height) { canvas.width = width; canvas.height = image.height; }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Where in a 3 x 3 grid most of the evidence for the answer lies: "0 1" is the middle of the top row. */
export function place(evidence, width = 28) {
  const sums = new Map(), height = evidence.length / width;
  evidence.forEach((value, i) => {
    if (value <= 0) return;
    const key = `${Math.min(2, Math.floor((3 * Math.floor(i / width)) / height))}${Math.min(2, Math.floor((3 * (i % width)) / width))}`;
    sums.set(key, (sums.get(key) || 0) + value);
  });
  return [...sums].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}

/** A line chart: series are {values, name, colour}; all share the axes. */
export function lineChart(canvas, series, { low = null, high = null, rule = null, cursor = null, labels = null } = {}) {
  const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth || 300, tall = canvas.clientHeight || 120;
  canvas.width = wide * ratio; canvas.height = tall * ratio;
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  const values = series.flatMap((one) => one.values).filter(Number.isFinite);
  const floor = low ?? Math.min(0, ...values), top = high ?? (values.length || rule !== null ? Math.max(1e-9, ...values, rule ?? -Infinity) : 1);
  const left = 38, right = wide - 8, up = 8, down = tall - 18;
  const longest = Math.max(2, ...series.map((one) => one.values.length));
  const x = (i) => left + ((right - left) * i) / (longest - 1);
  const y = (v) => down - ((down - up) * (v - floor)) / (top - floor || 1);
  c.font = "11px system-ui, sans-serif"; c.fillStyle = colour("soft"); c.strokeStyle = colour("line"); c.lineWidth = 1;
  for (const mark of [floor, (floor + top) / 2, top]) {
    c.beginPath(); c.moveTo(left, y(mark)); c.lineTo(right, y(mark)); c.stroke();
    c.textAlign = "right"; c.fillText(shortNumber(mark), left - 5, y(mark) + 4);
  }
  if (labels) {
    c.textAlign = "left"; c.fillText(labels[0], left, tall - 4); c.textAlign = "right"; c.fillText(labels[1], right, tall - 4);
  }
  if (rule !== null) {
    c.setLineDash([4, 3]); c.strokeStyle = colour("soft"); c.beginPath(); c.moveTo(left, y(rule)); c.lineTo(right, y(rule)); c.stroke(); c.setLineDash([]);
  }
  for (const one of series) {
    c.strokeStyle = one.colour; c.lineWidth = one.wide || 1.6; c.globalAlpha = one.alpha ?? 1; c.beginPath();
    one.values.forEach((v, i) => { if (Number.isFinite(v)) c.lineTo(x(i), y(v)); });
    c.stroke(); c.globalAlpha = 1;
  }
  if (cursor !== null) {
    c.strokeStyle = colour("accent"); c.lineWidth = 1; c.beginPath(); c.moveTo(x(cursor), up); c.lineTo(x(cursor), down); c.stroke();
  }
}

const shortNumber = (v) => {
  const size = Math.abs(v);
  if (size !== 0 && (size < 0.01 || size >= 1e5)) return v.toExponential(0);
  return size >= 100 ? v.toFixed(0) : size >= 10 ? v.toFixed(1) : v.toFixed(2);
};
