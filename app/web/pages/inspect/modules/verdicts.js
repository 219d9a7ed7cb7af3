// What is said of pictures and of a category, and what comes of it.
import { call } from "./call.js";

export const verdicts = {
  // The next picture comes at once; what was said of this one is saved meanwhile.
  say(passed, reason, image = this.image) {
    const { sheet, work } = this;
    const card = this.find_(image);
    if (this.pending.has(image)) return;
    const draft = this.draft(card);
    const took = this.seconds();
    const first = card.passed === null;
    this.pending.set(image, { passed, reason: reason || null, ...draft, due: false, by: this.queue.who, mine: true });
    Object.assign(card, this.pending.get(image));
    this.armed = "";
    const save = () => this.save(sheet, work, card, [passed, reason, draft, took]);
    if (first) this.forward();
    else this.draw();
    this.run(save, () => this.pending.delete(image));
  },

  async save(sheet, work, card, [passed, reason, { note, pins }, took]) {
    const { kind, object } = sheet;
    const { image } = card;
    let found;
    if (kind === "discards") found = await call("review", work, object, image, passed, note, took);
    else if (kind === "again") found = await call("look_again", work, object, image, passed, reason, note, pins);
    else found = await call("say", work, object, image, passed, reason, note, pins, took);
    localStorage.removeItem(this.key(card, sheet));
    this.pending.delete(image);
    if (kind === "round") this.said.push(image);
    if (this.sheet?.object !== object || this.sheet.kind !== kind) return;
    this.take(found);
    partlab.say(`${card.file}: ${passed ? "passes" : `fails, ${reason}`}. ${found.summary}`);
    if (kind !== "round" && !found.waiting && !this.pending.size) await this.done();
    else if (!this.card() || (this.image === image && this.waits)) this.forward();
    else this.draw();
  },

  find_(image) {
    return this.sheet.cards.find((card) => card.image === image);
  },

  async done() {
    await this.refresh();
    await this.next();
  },

  // To the next picture that waits, else stay.
  forward() {
    const cards = this.cards();
    const at = cards.findIndex((card) => card.image === this.image);
    const order = [...cards.slice(at + 1), ...cards.slice(0, Math.max(at, 0))];
    const next = order.find((card) => card.due && card.passed === null);
    this.waits = !next; // the plan names the next one when it has this verdict
    this.show((next || this.card() || cards[0])?.image);
  },

  step(by) {
    const cards = this.cards();
    const at = cards.findIndex((card) => card.image === this.image);
    const next = cards[at + by];
    if (next) this.show(next.image);
  },

  async undo() {
    const mine = (image) => this.sheet.cards.find((card) => card.image === image && card.passed !== null && card.mine);
    while (this.said.length && !mine(this.said.at(-1))) this.said.pop();
    const image = this.said.pop() ?? (mine(this.image) ? this.image : null);
    if (image === null) return this.toast("There is no verdict of yours to undo here.");
    const { note, pins } = mine(image);
    if (note || pins.length) localStorage.setItem(this.key({ image }), JSON.stringify({ note, pins }));
    this.take(await call("take_back", this.work, this.sheet.object, image));
    this.show(image);
    return null;
  },

  async finish() {
    const { object, round, finish, waiting } = this.sheet;
    if (!finish) return this.toast(`${object} is not decided yet: ${waiting} to look at.`);
    if (!(await this.sure(`Finish ${object} round ${round}?`, finish, "Finish"))) return null;
    const found = await call("finish", this.work, object);
    this.toast(`${object} round ${round} is ${found.state}: ${found.summary}.`, "good");
    return this.done();
  },

  async passRest() {
    const { sheet } = this;
    if (!this.open_ || sheet.kind !== "round" || !sheet.waiting) return;
    if (!this.grid) return this.openGrid();
    this.closeGrid();
    this.take(await call("pass_rest", this.work, sheet.object));
    this.show(this.image);
    return null;
  },

  async sendBack(reason) {
    const { object } = this.sheet;
    const { note, pins } = this.draft();
    const image = this.image;
    this.armed = "";
    const found = await call("send_back", this.work, object, image, reason, note, pins);
    localStorage.removeItem(this.key({ image }));
    this.take(found);
    this.toast(`Image ${image} of ${object} goes back to ${found.annotator}: ${reason}.`, "good");
    this.show(image);
  },

  async reopen() {
    const { object, round } = this.sheet;
    const why = await this.sure(`Open ${object} round ${round} again?`, "Its verdicts count no more, and its images are inspected again.", "Open it again", "Why?");
    if (!why) return;
    this.take(await call("reopen", this.work, object, why));
    await this.refresh();
    this.show(this.cards()[0]?.image);
  },
};
