// What clicks and keys do.
export const DIGITS = "1234567890";
const KEYS = {
  p: "pass", f: "fail", u: "undo", n: "note", r: "rest", e: "example", w: "doubts", Enter: "finish",
  g: "uphold", d: "restore", b: "back", o: "reopen", i: "pin", 0: "whole",
};

export const keys = {
  clicked(event) {
    const at = event.target.closest("button");
    if (!at) return;
    if (event.detail > 0 && !at.closest("form")) at.blur(); // so that Enter is the page's again
    const { open, object, go, reason, unpin } = at.dataset;
    if (open) this.begin({ kind: open, object });
    else if (go) {
      if (this.grid) this.closeGrid();
      this.show(Number(go));
    } else if (reason !== undefined) this.reason(Number(reason));
    else if (unpin !== undefined) {
      const draft = this.draft();
      this.keep({ ...draft, pins: draft.pins.filter((_, n) => n !== Number(unpin)) });
    } else if (at.dataset.do) this.act(at.dataset.do);
  },

  pointed(event) {
    const row = event.target.closest(".pi-parts li");
    if (row || this.pointing) this.stage.part(row?.dataset.part);
    this.pointing = Boolean(row);
  },

  reason(number) {
    const words = this.sheet?.reasons[number];
    if (!words) return;
    if (this.decided && this.armed) this.run(() => this.sendBack(words));
    else if (this.open_) this.say(false, words);
  },

  act(name) {
    const { sheet } = this;
    const judging = this.open_ && this.card() && sheet.kind !== "discards";
    const reviewing = this.open_ && this.card() && sheet.kind === "discards";
    if (name === "pass" && judging) this.say(true, "");
    else if (name === "fail" && judging) this.arm("fail");
    else if (name === "back" && this.decided && sheet.state === "accepted" && !this.card()?.back) this.arm("back");
    else if (name === "uphold" && reviewing) this.say(true, "");
    else if (name === "restore" && reviewing) this.say(false, "");
    else if (name === "undo" && judging && sheet.kind === "round") this.run(() => this.undo());
    else if (name === "rest") this.run(() => this.passRest());
    else if (name === "finish" && judging) this.run(() => this.finish());
    else if (name === "finish" && this.offer && !sheet) this.begin(this.offer);
    else if (name === "reopen" && this.decided && this.queue.lead) this.run(() => this.reopen());
    else if (name === "pin") return this.aim();
    else if (name === "close") this.closeGrid();
    else if (name === "note" && !this.find(".pi-note").hidden) this.field.focus();
    else if (name === "whole") this.stage.whole();
    else if (name === "example" && sheet?.example) {
      this.beside = !this.beside;
      this.draw();
    } else if (name === "doubts" && sheet?.doubts) {
      this.doubtsFirst = !this.doubtsFirst;
      partlab.address(["first"], [this.doubtsFirst ? "wrong" : ""]);
      this.show(this.cards().find((card) => card.due)?.image ?? this.image);
    } else return false;
    return true;
  },

  arm(what) {
    if (this.cross) this.aim(null);
    this.armed = this.armed ? "" : what;
    this.drawSide();
    this.drawFoot();
  },

  pressed(event) {
    const { key } = event;
    const box = this.find(".pi-dialog");
    if (event.target.closest?.(".pi-note") && (key === "Escape" || (key === "Enter" && !event.shiftKey))) {
      event.target.blur();
      return true;
    }
    if (partlab.writing(event.target) || document.querySelector(".pl-help")?.open) return false;
    if (box.open && !this.grid) return false;
    if (this.grid && !["r", "Escape"].includes(key)) return false;
    if (this.cross && key !== " ") return this.aimed(event);
    if (key === "Enter" && event.target.closest?.("button, a, summary")) return false;
    if (key === " ") return this.bare(true);
    return this.typed(key);
  },

  typed(key) {
    if (key === "Escape" && this.grid) this.closeGrid();
    else if (key === "Escape" && this.armed) this.arm("");
    else if (this.armed && DIGITS.includes(key)) this.reason(DIGITS.indexOf(key));
    else if (key === "ArrowLeft") this.step(-1);
    else if (key === "ArrowRight") this.step(1);
    else return this.act(KEYS[key.length === 1 ? key.toLowerCase() : key]);
    return true;
  },

  // The picture without its masks, or with them again.
  bare(on) {
    this.root.toggleAttribute("data-bare", on);
    return true;
  },
};
