// One picture with its masks: fitted, zoomed with the wheel, moved, pointed at, pinned.
export const esc = (text) => String(text ?? "").replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

export class Stage {
  // `pinned(x, y, part)` is told where somebody clicked, as shares of the picture.
  constructor(element, pinned) {
    this.element = element;
    this.pinned = pinned;
    this.home();
    new ResizeObserver(() => this.fit()).observe(element);
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    element.addEventListener("pointerup", (event) => this.up(event));
    element.addEventListener("pointercancel", () => (this.from = null));
    element.addEventListener("pointerleave", () => this.light(null));
  }

  home() {
    [this.zoom, this.x, this.y, this.from] = [1, 0, 0, null];
  }

  show(picture, pins = []) {
    if (this.picture === picture) return this.pins(pins); // what is being written on it stays
    this.home();
    this.picture = picture;
    this.element.innerHTML = `<div class="pi-canvas">${layers(picture)}<div class="pi-dots"></div></div>`;
    this.pins(pins);
    return this.fit();
  }

  // `html` is our own, or a sentence that the server has escaped.
  empty(html) {
    this.picture = null;
    this.element.innerHTML = `<p class="pi-wait">${html}</p>`;
  }

  pins(pins) {
    const place = this.element.querySelector(".pi-dots");
    if (!place) return;
    const at = (pin) => `left:${100 * pin.x}%;top:${100 * pin.y}%`;
    place.innerHTML = pins.map((pin, n) => `<i class="pi-pin" style="${at(pin)}">${n + 1}</i>`).join("");
  }

  // A cross at this place, with the part under it alone; null takes it away.
  cross(at) {
    this.element.querySelector(".pi-cross")?.remove();
    this.light(at ? this.under(at.x, at.y) : null);
    const style = at && `left:${100 * at.x}%;top:${100 * at.y}%`;
    if (at) this.element.querySelector(".pi-dots").insertAdjacentHTML("afterend", `<i class="pi-cross" style="${style}"></i>`);
  }

  // The mask that lies on top at a place given in shares of the picture.
  under(x, y) {
    const point = new DOMPoint(x * this.picture.width, y * this.picture.height);
    const paths = [...this.element.querySelectorAll(".pi-canvas > svg path")];
    return paths.findLast((path) => path.isPointInFill(point));
  }

  // Where such a place is in the stage, as shares of it: what is written there stays in sight.
  seenAt(x, y) {
    const box = this.element.querySelector(".pi-canvas").getBoundingClientRect();
    const all = this.element.getBoundingClientRect();
    return [(box.left + x * box.width - all.left) / all.width, (box.top + y * box.height - all.top) / all.height];
  }

  partAt(x, y) {
    return this.under(x, y)?.dataset.part || "";
  }

  fit() {
    const canvas = this.element.querySelector(".pi-canvas");
    if (!canvas || !this.picture) return;
    const { clientWidth: width, clientHeight: height } = this.element;
    const scale = Math.min(width / this.picture.width, height / this.picture.height);
    this.wide = this.picture.width * scale;
    this.high = this.picture.height * scale;
    Object.assign(canvas.style, { width: `${this.wide}px`, height: `${this.high}px` });
    this.place();
  }

  place() {
    const canvas = this.element.querySelector(".pi-canvas");
    if (!canvas) return;
    const { clientWidth, clientHeight } = this.element;
    const left = (clientWidth - this.wide) / 2 + this.x;
    const top = (clientHeight - this.high) / 2 + this.y;
    canvas.style.transform = `translate(${left}px, ${top}px) scale(${this.zoom})`;
    canvas.style.setProperty("--s", String(this.zoom));
  }

  whole() {
    this.home();
    this.place();
  }

  wheel(event) {
    if (!this.picture) return;
    event.preventDefault();
    const zoom = Math.min(Math.max(this.zoom * Math.exp(-event.deltaY / 400), 1), 16);
    const box = this.element.querySelector(".pi-canvas").getBoundingClientRect();
    const grown = zoom / this.zoom - 1;
    this.x -= (event.clientX - box.left) * grown;
    this.y -= (event.clientY - box.top) * grown;
    this.zoom = zoom;
    if (zoom === 1) [this.x, this.y] = [0, 0];
    this.place();
  }

  down(event) {
    if (event.button === 0 && this.picture && !event.target.closest("form"))
      this.from = { x: event.clientX, y: event.clientY, far: false };
  }

  move(event) {
    // Only a pointer that moves points at something: one that rests under a new picture does not.
    if (!this.from) return void this.light(event.target.closest?.("path"));
    const [dx, dy] = [event.clientX - this.from.x, event.clientY - this.from.y];
    if (!this.from.far && Math.hypot(dx, dy) < 5) return;
    this.from = { x: event.clientX, y: event.clientY, far: true };
    if (this.zoom === 1) return;
    [this.x, this.y] = [this.x + dx, this.y + dy];
    this.place();
  }

  up(event) {
    const from = this.from;
    this.from = null;
    if (!from || from.far || !this.pinned) return;
    const box = this.element.querySelector(".pi-canvas").getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    if (x < 0 || x > 1 || y < 0 || y > 1) return;
    this.pinned(x, y, event.target.closest?.("path")?.dataset.part || "");
  }

  // Only one part, while it is pointed at here or in the list.
  light(path) {
    this.only(path ? (mark) => mark === path.dataset.mark : null);
  }

  part(name) {
    const marks = this.picture?.marks || [];
    this.only(name ? (mark) => marks[Number(mark)].part === name : null);
  }

  only(wanted) {
    const canvas = this.element.querySelector(".pi-canvas");
    canvas?.toggleAttribute("data-chosen", Boolean(wanted));
    for (const each of canvas?.querySelectorAll("[data-mark]") || [])
      each.toggleAttribute("data-on", Boolean(wanted) && wanted(each.dataset.mark));
  }
}

// Picture, masks and their names as HTML.
export function layers(picture, names = true) {
  const masks = picture.marks.map((mark, n) =>
    `<path d="${mark.outline}" fill-rule="evenodd" vector-effect="non-scaling-stroke" data-mark="${n}" data-part="${esc(mark.part)}" style="--c:${mark.colour}"><title>${esc(mark.name)}, ${mark.area.toLocaleString("en")} px</title></path>`);
  const badge = (mark, n) =>
    `<span class="pl-badge" data-mark="${n}" style="--c:${mark.colour};left:${100 * mark.x}%;top:${100 * mark.y}%"><i>${esc(mark.name)}</i></span>`;
  const img = picture.src
    ? `<img src="${esc(picture.src)}" alt="${esc(picture.file)}" draggable="false">`
    : `<p class="pi-wait">${esc(picture.trouble)}</p>`;
  const said = esc(picture.marks.map((mark) => mark.name).join(", "));
  return `${img}<svg viewBox="0 0 ${picture.width} ${picture.height}" preserveAspectRatio="none" role="img" aria-label="masks: ${said}">${masks.join("")}</svg>${names ? picture.marks.map(badge).join("") : ""}`;
}
