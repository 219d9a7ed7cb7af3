// Notes and pins: kept in this browser until they are saved with a verdict.
export const notes = {
  key(card, sheet = this.sheet) {
    return `pi:${this.queue.who}:${this.work}/${sheet.object}/${sheet.round}/${card.image}`;
  },

  draft(card = this.card()) {
    if (!card) return { note: "", pins: [] };
    return JSON.parse(localStorage.getItem(this.key(card)) || "null") || { note: card.note, pins: card.pins };
  },

  keep(draft) {
    const card = this.card();
    if (!card) return;
    localStorage.setItem(this.key(card), JSON.stringify(draft));
    if (this.open_ && this.sheet.kind === "round" && card.passed !== null && card.mine)
      this.say(card.passed, card.reason || "", card.image);
    else this.draw();
  },

  noted() {
    this.keep({ ...this.draft(), note: this.field.value.trim() });
  },

  canPin() {
    return Boolean((this.open_ || this.decided) && this.sheet.kind !== "discards" && this.card());
  },

  ask(x, y, part) {
    if (this.find(".pi-why")) return; // it is being left, which keeps what was written
    if (!this.canPin()) return;
    const form = document.createElement("form");
    const [right, down] = this.stage.seenAt(x, y);
    form.className = `pi-why${down > 0.6 ? " pi-up" : ""}`;
    form.style = `left:${100 * x}%;top:${100 * y}%;--x:${100 * right}%`;
    form.innerHTML = `<label>${this.esc(part || "no part")}<input maxlength="200" placeholder="what is wrong here?" aria-label="what is wrong here?"></label><button>Pin it</button>`;
    let over = false; // taking the form away takes the focus from it, too
    const done = (wanted) => {
      if (over) return;
      over = true;
      const why = form.querySelector("input").value.trim();
      form.remove();
      const draft = this.draft();
      const round = (value) => Math.round(value * 1000) / 1000;
      if (wanted || why) this.keep({ ...draft, pins: [...draft.pins, { x: round(x), y: round(y), part, why }] });
    };
    form.addEventListener("submit", (event) => (event.preventDefault(), done(true)));
    form.addEventListener("keydown", (event) => event.key === "Escape" && ((over = true), form.remove()));
    form.addEventListener("focusout", (event) => form.contains(event.relatedTarget) || done(false));
    this.stage.element.querySelector(".pi-canvas").append(form);
    form.querySelector("input").focus();
  },

};
