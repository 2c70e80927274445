// The drawing pad: strokes of one pointer on a canvas.

/**
 * Turn a canvas into a pad; `changed(strokes)` is called whenever the drawing has changed, at most once a frame.
 *
 * A second finger and the palm are ignored while a pen is down. Returns `clear()` and `undo()`.
 */
export function drawingPad(canvas, changed) {
  let strokes = [];
  let pointer = null;
  let waiting = false;
  const context = canvas.getContext("2d");

  function paint() {
    const style = getComputedStyle(canvas);
    context.fillStyle = style.getPropertyValue("background-color");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = canvas.width / 14;
    context.strokeStyle = style.getPropertyValue("color");
    for (const stroke of strokes) {
      context.beginPath();
      context.moveTo(...stroke[0]);
      for (const point of stroke.length > 1 ? stroke.slice(1) : stroke) context.lineTo(...point);
      context.stroke();
    }
  }

  function tell() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      paint();
      changed(strokes);
    });
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * canvas.width) / box.width,
      ((event.clientY - box.top) * canvas.height) / box.height,
    ];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0) return;
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    strokes.push([place(event)]);
    tell();
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const samples = event.getCoalescedEvents?.() ?? [];
    for (const one of samples.length ? samples : [event]) strokes[strokes.length - 1].push(place(one));
    tell();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      if (event.pointerId === pointer) pointer = null;
    });
  }
  new MutationObserver(paint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  paint();
  return {
    clear() {
      strokes = [];
      tell();
    },
    undo() {
      strokes = strokes.slice(0, -1);
      tell();
    },
  };
}
