// Zooms and moves the diagram: wheel, pinch, drag, buttons and keyboard.
// Only its size is set; the frame scrolls, and keeps it within bounds.

const STEP = 1.25;
const SCALE_MAX = 4;
const GAP_PX = 16;
const WHEEL_PER_PX = 0.002;
const PINCH_PER_PX = 0.01; // a trackpad's pinch is a wheel with the control key, turned a little

const frame = document.getElementById("frame");
const diagram = frame.querySelector("svg");
const size = diagram.viewBox.baseVal;
const pointers = new Map();
let fitted = true;

function scale() {
  return diagram.getBoundingClientRect().width / size.width;
}

function fit() {
  const width = (frame.clientWidth - GAP_PX) / size.width;
  const height = (frame.clientHeight - GAP_PX) / size.height;
  return Math.min(width, height, SCALE_MAX);
}

// Whatever is at (x, y) of the window stays there; without them, what is in the middle.
function zoom(wanted, x, y) {
  const outer = frame.getBoundingClientRect();
  x ??= outer.left + outer.width / 2;
  y ??= outer.top + outer.height / 2;
  const before = diagram.getBoundingClientRect();
  const least = fit();
  const next = Math.min(Math.max(wanted, least), SCALE_MAX);
  diagram.style.width = `${size.width * next}px`;
  const after = diagram.getBoundingClientRect();
  const grown = after.width / before.width;
  frame.scrollBy(after.left - x + (x - before.left) * grown, after.top - y + (y - before.top) * grown);
  fitted = next === least;
  document.getElementById("scale").value = `${Math.round(next * 100)} %`;
}

function turn(event) {
  event.preventDefault();
  const perPx = event.ctrlKey ? PINCH_PER_PX : WHEEL_PER_PX;
  zoom(scale() * Math.exp(-event.deltaY * perPx), event.clientX, event.clientY);
}

function hold(event) {
  if (event.button !== 0) return;
  pointers.set(event.pointerId, event);
  frame.setPointerCapture(event.pointerId);
}

function move(event) {
  const before = pointers.get(event.pointerId);
  if (before === undefined) return;
  pointers.set(event.pointerId, event);
  const other = [...pointers.values()].find((each) => each.pointerId !== event.pointerId);
  if (other === undefined) {
    frame.scrollBy(before.clientX - event.clientX, before.clientY - event.clientY);
  } else {
    const distance = (from) => Math.hypot(from.clientX - other.clientX, from.clientY - other.clientY);
    const [x, y] = [(event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2];
    zoom(scale() * distance(event) / distance(before), x, y);
  }
}

function release(event) {
  pointers.delete(event.pointerId);
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "+" || event.key === "=") zoom(scale() * STEP);
  else if (event.key === "-") zoom(scale() / STEP);
  else if (event.key === "0") zoom(0);
}

new ResizeObserver(() => zoom(fitted ? 0 : scale())).observe(frame);
frame.addEventListener("wheel", turn, { passive: false });
diagram.addEventListener("pointerdown", hold);
frame.addEventListener("pointermove", move);
frame.addEventListener("pointerup", release);
frame.addEventListener("pointercancel", release);
document.addEventListener("keydown", press);
document.getElementById("in").addEventListener("click", () => zoom(scale() * STEP));
document.getElementById("out").addEventListener("click", () => zoom(scale() / STEP));
document.getElementById("fit").addEventListener("click", () => zoom(0));
zoom(0); // before the buttons are there, which say how large it is
document.getElementById("zoom").hidden = false;
