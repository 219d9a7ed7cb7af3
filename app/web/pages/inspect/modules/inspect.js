// The page Inspect: its queue, and what lies open. The other files of this folder add what is said, seen and pressed.
import { around } from "./around.js";
import { call } from "./call.js";
import { cross } from "./cross.js";
import { keys } from "./keys.js";
import { notes } from "./notes.js";
import { over } from "./over.js";
import { picture } from "./picture.js";
import { esc, Stage } from "./stage.js";
import { verdicts } from "./verdicts.js";

let page = null;

export function begin(element) {
  page = new Inspect(element.querySelector(".pi"));
  page.start();
}

class Inspect {
  constructor(root) {
    Object.assign(this, { root, esc, pictures: new Map(), pending: new Map(), said: [], armed: "", chain: Promise.resolve() });
    const words = new URLSearchParams(location.search);
    Object.assign(this, { work: words.get("work") || "", doubtsFirst: words.get("first") === "wrong" });
    this.asked = { kind: words.get("kind"), object: words.get("object"), image: Number(words.get("image")) };
    const [here, example] = root.querySelectorAll(".pi-stage");
    this.stage = new Stage(here, (x, y, part) => this.ask(x, y, part));
    this.example = new Stage(example, null);
    this.field = root.querySelector("textarea");
    this.field.addEventListener("change", () => this.noted());
    root.addEventListener("click", (event) => this.clicked(event));
    root.addEventListener("pointerover", (event) => this.pointed(event));
    window.addEventListener("resize", () => this.fill());
    root.addEventListener("change", (event) => event.target.matches("[data-works]") && this.go(event.target.value));
  }

  // What is needed fills the window, whatever stands above it.
  fill() {
    const top = this.root.getBoundingClientRect().top + window.scrollY;
    this.root.style.setProperty("--h", `${Math.max(window.innerHeight - top - 14, 480)}px`);
  }

  find(name) {
    return this.root.querySelector(name);
  }

  async start() {
    this.fill();
    await this.refresh();
    const { kind, object } = this.asked;
    const items = this.queue?.items || [];
    const wanted = kind && object ? items.find((each) => each.kind === kind && each.object === object) : items[0];
    // Coming here draws nothing: images of a round that nobody has begun are drawn when one says so.
    if (wanted?.kind === "round" && wanted.state === "submitted") this.nothing("", wanted);
    else if (kind && object) await this.open(kind, object).catch((error) => this.nothing(error.message));
    else await this.next();
    this.root.dataset.state = "ready";
  }

  go(work) {
    this.work = work;
    this.sheet = null;
    this.run(async () => {
      await this.refresh();
      await this.next();
    });
  }

  begin({ kind, object }) {
    this.run(() => this.open(kind, object).catch((error) => this.nothing(error.message)));
  }

  // One thing after the other, so that no key is lost while one before it is being saved.
  run(action, after = () => {}) {
    this.running = (this.running || 0) + 1;
    this.root.dataset.state = "busy";
    this.chain = this.chain.then(() => this.guard(action, after)).then(() => {
      this.running -= 1;
      if (!this.running) this.root.dataset.state = "ready";
    });
    return this.chain;
  }

  async guard(action, after = () => {}) {
    try {
      await action();
    } catch (error) {
      after();
      this.toast(error.message, "bad");
      if (this.sheet) await this.again().catch(() => {});
    }
    after();
  }

  async refresh() {
    await this.guard(async () => {
      this.queue = await call("queue", this.work);
      this.work = this.queue.work;
    });
    this.drawQueue();
  }

  // The first thing that waits and can be opened, else a word on why there is none.
  async next() {
    let trouble = "";
    for (const { kind, object } of this.queue?.items || []) {
      try {
        return await this.open(kind, object);
      } catch (error) {
        trouble ||= error.message;
      }
    }
    return this.nothing(trouble);
  }

  // `words` is HTML that the server has escaped.
  nothing(words = "", offer = null) {
    Object.assign(this, { sheet: null, image: null, trouble: words, offer });
    this.draw();
    this.drawQueue();
  }

  async open(kind, object) {
    const sheet = await call("open", this.work, kind, object);
    Object.assign(this, { said: [], armed: "", sheet: null, image: null });
    this.pending.clear();
    this.take(sheet);
    const asked = this.cards().find((card) => card.image === this.asked.image);
    const wanted = asked && (asked.due || asked.mine || !sheet.waiting) ? asked : null;
    this.asked.image = 0;
    this.show((wanted || this.cards().find((card) => card.due) || this.cards()[0])?.image);
    this.drawQueue();
  }

  async again() {
    const { kind, object } = this.sheet;
    this.take(await call("open", this.work, kind, object));
    const card = this.card();
    if (!card || (!card.due && !card.mine && this.sheet.waiting)) this.forward();
    else this.show(this.image);
  }

  // What an event answers becomes the sheet; what only `open` tells stays.
  take(sheet) {
    const same = this.sheet?.object === sheet.object && this.sheet?.kind === sheet.kind;
    this.sheet = { ...(same ? { example: this.sheet.example } : {}), ...sheet };
    for (const card of sheet.cards) Object.assign(card, this.pending.get(card.image));
    const good = sheet.cards.find((card) => card.passed && !this.pending.has(card.image));
    if (good) this.sheet.example ||= { image: good.image, round: sheet.round, words: `passed by ${good.by}` };
    for (const words of sheet.told || []) this.toast(words);
    this.drawQueue();
  }

  cards() {
    const cards = this.sheet?.cards || [];
    if (!this.doubtsFirst) return cards;
    return [...cards].sort((a, b) => (b.suspicion || 0) - (a.suspicion || 0));
  }

  card() {
    return this.cards().find((card) => card.image === this.image);
  }

  // Where something can be said of a picture.
  get open_() {
    const { sheet } = this;
    return Boolean(sheet) && !sheet.own && (sheet.kind !== "round" || sheet.state === "sampled");
  }

  get decided() {
    return this.sheet?.kind === "round" && ["accepted", "rejected"].includes(this.sheet.state);
  }
}

Object.assign(Inspect.prototype, around, cross, keys, notes, over, picture, verdicts);

document.addEventListener("keydown", (event) => {
  if (!page?.root.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && partlab.writing(event.target)) return;
  if (page.pressed(event)) event.preventDefault();
}, true);
document.addEventListener("keyup", (event) => {
  if (event.key !== " " || !page?.root.isConnected || partlab.writing(event.target)) return;
  page.bare(false);
  event.preventDefault();
}, true);
window.addEventListener("blur", () => page?.bare(false));
document.addEventListener("visibilitychange", () => {
  if (!page) return;
  if (document.hidden) page.hidden = performance.now();
  else if (page.hidden) page.away = (page.away || 0) + performance.now() - page.hidden;
});
