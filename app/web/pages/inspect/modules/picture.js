// The picture that is looked at, the example beside it, and how long that took.
import { call } from "./call.js";
import { layers } from "./stage.js";

export const picture = {
  show(image) {
    if (image !== this.image) {
      this.armed = "";
      this.cross = null;
      Object.assign(this, { since: performance.now(), away: 0 });
    }
    this.image = image;
    this.draw();
  },

  // Seconds that this picture was looked at, without those in another tab.
  seconds() {
    return Math.round((performance.now() - this.since - (this.away || 0)) / 100) / 10;
  },

  async picture(image, round = this.sheet.round) {
    const key = `${this.work}/${this.sheet.object}/${round}/${image}`;
    if (!this.pictures.has(key)) {
      const loading = call("picture", this.work, this.sheet.object, round, image).then((found) => {
        if (found.src) new Image().src = found.src;
        return found;
      });
      loading.catch(() => this.pictures.delete(key));
      this.pictures.set(key, loading);
    }
    return this.pictures.get(key);
  },

  draw() {
    const { sheet } = this;
    this.root.toggleAttribute("data-nothing", !sheet);
    this.drawTitle();
    this.drawSide();
    this.drawStrip();
    this.drawFoot();
    const { offer, esc } = this;
    const begin = offer && `<b>${esc(offer.object)} round ${offer.round}</b>, drawn by ${esc(offer.annotator)}: ${offer.pictures} pictures to look at.<br><button type="button" class="pi-main-button" data-open="round" data-object="${esc(offer.object)}">Begin <kbd>Enter</kbd></button>`;
    if (!sheet || !this.image) return this.stage.empty(sheet ? "Nothing is left here." : this.trouble || begin || "Nothing waits for you.");
    partlab.address(["work", "kind", "object", "image"], [this.work, sheet.kind, sheet.object, this.image]);
    return this.drawPicture();
  },

  async drawPicture() {
    const image = this.image;
    if (this.stage.picture?.image !== image) this.root.toggleAttribute("data-loading", true);
    try {
      const found = await this.picture(image);
      if (image !== this.image) return;
      this.stage.show(found, this.draft().pins);
      this.root.toggleAttribute("data-loading", false);
      this.root.dataset.image = String(image);
    } catch (error) {
      this.stage.empty(error.message);
    }
    this.drawExample();
    const cards = this.cards();
    const at = cards.findIndex((card) => card.image === image);
    for (const card of cards.slice(at + 1, at + 4)) this.picture(card.image).catch(() => {});
    for (const card of cards.slice(Math.max(at - 6, 0), at + 14)) this.thumb(card.image);
  },

  async drawExample() {
    const view = this.find("[data-view=example]");
    const example = this.shownExample();
    view.hidden = !(this.beside && example);
    this.stage.fit();
    if (view.hidden) return;
    view.querySelector("figcaption").textContent = `an example, ${example.words}`;
    if (example.src) this.example.element.innerHTML = `<img class="pi-ready" src="${this.esc(example.src)}" alt="an example of the instructions">`;
    else this.example.show(await this.picture(example.image, example.round));
  },

  // The accepted image beside this one: another than this one, where there is another.
  shownExample() {
    const { example, cards, round } = this.sheet;
    if (example && (example.src || example.image !== this.image || example.round !== round)) return example;
    const other = cards.find((card) => card.passed && card.image !== this.image && !this.pending.has(card.image));
    return other ? { image: other.image, round, words: `passed by ${other.by}` } : example;
  },

  async thumb(image) {
    const found = await this.picture(image).catch(() => null);
    const place = this.find(`.pi-strip [data-go="${image}"] span`);
    if (found && place && !place.innerHTML) place.innerHTML = layers(found, false);
  },
};
