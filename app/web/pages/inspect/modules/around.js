// What stands around the picture: title, queue, verdict, rules, strip, what the next key causes.
import { DIGITS } from "./keys.js";

export const around = {
  drawTitle() {
    const { sheet, esc } = this;
    const kinds = { round: "", again: "drawn again", discards: "given up" };
    const card = this.card();
    const place = sheet && this.cards().indexOf(card) + 1;
    this.find(".pi-title").innerHTML = !sheet ? "" :
      `<b>${esc(sheet.object)}</b> round ${sheet.round} ${kinds[sheet.kind]}<span class="pl-soft">drawn by ${esc(sheet.annotator)}</span><span class="pi-count">${card ? `picture ${place} of ${sheet.cards.length}` : ""}</span>`;
    const words = [];
    if (card?.said) words.push(esc(card.said));
    if (card?.doubt && card.passed === null) words.push(`<b class="pl-flag">likely wrong:</b> ${esc(card.doubt)}`);
    for (const problem of card?.problems || []) words.push(`<b class="pl-flag">mind:</b> ${esc(problem)}`);
    if (card?.missing.length) words.push(`not drawn: ${esc(card.missing.join(", "))}`);
    if (card?.passed === true) words.push(`<b class="pi-good">passed</b> by ${esc(card.by)}`);
    if (card?.passed === false) words.push(`<b class="pl-flag">failed</b> by ${esc(card.by)}: ${esc(card.reason)}`);
    if (card?.back) words.push("being drawn again");
    this.find(".pi-caption").innerHTML = card ? `<span class="pl-soft">${esc(card.file)}</span> ${words.join(" · ")}` : "";
  },

  drawQueue() {
    const { queue, esc, sheet } = this;
    if (!queue) return;
    const about = (minutes) => (minutes < 1 ? "under a minute" : `about ${Math.round(minutes)} min`);
    const words = (item) => {
      const same = sheet && item.kind === sheet.kind && item.object === sheet.object;
      const left = same && sheet.state === "sampled" ? sheet.waiting : item.pictures;
      if (same ? sheet.finish : item.finish) return "to be finished";
      return `${left} ${item.kind === "discards" ? "given up" : "to look at"} · ${about(item.minutes * (left / (item.pictures || 1)))}`;
    };
    const current = (kind, object) => (sheet?.kind === kind && sheet.object === object ? ' aria-current="true"' : "");
    const item = (each) => `<li><button type="button" data-open="${each.kind}" data-object="${esc(each.object)}"${current(each.kind, each.object)}><b>${esc(each.object)} r${each.round}</b>${each.kind === "again" ? " drawn again" : ""}<span>${words(each)}</span>${each.others.length ? `<span>also ${esc(each.others.join(", "))}</span>` : ""}</button></li>`;
    const over = (each) => `<li><button type="button" data-open="round" data-object="${esc(each.object)}"${current("round", each.object)}><b>${esc(each.object)} r${each.round}</b><span>${each.state}</span></button></li>`;
    const works = queue.works.length > 1 ? `<select data-works aria-label="Work">${queue.works.map((name) => `<option${name === this.work ? " selected" : ""}>${esc(name)}</option>`).join("")}</select>` : "";
    const notes = [];
    if (queue.own.length) notes.push(`You drew ${esc(queue.own.join(", "))}: others inspect that.`);
    if (queue.for_others) notes.push(`${queue.for_others} given up wait for other inspectors.`);
    for (const words of queue.elsewhere) notes.push(esc(words));
    if (!queue.signed_in) notes.push("Nobody signs in here: words are recorded under this name, from PARTLAB_ME or this machine's login.");
    const html = `<p class="pi-who"><b>${esc(queue.who)}</b>${works}</p><ul>${queue.items.map(item).join("")}</ul>${queue.items.length ? "" : `<p class="pi-why-none">${esc(queue.why)}</p>`}${queue.decided.length ? `<h2>Decided</h2><ul>${queue.decided.map(over).join("")}</ul>` : ""}${notes.map((note) => `<p class="pl-soft">${note}</p>`).join("")}`;
    const place = this.find(".pi-queue");
    if (place.innerHTML !== html) place.innerHTML = html;
  },

  drawSide() {
    const { sheet, esc } = this;
    const button = (act, words, key, more = "") => `<button type="button" data-do="${act}" ${more}>${words} <kbd>${key}</kbd></button>`;
    const armed = this.armed ? "data-armed" : "";
    const reasons = () => `<div class="pi-reasons" ${armed} role="group" aria-label="Reason">${sheet.reasons.map((reason, n) => `<button type="button" data-reason="${n}">${DIGITS[n] ? `<kbd>${DIGITS[n]}</kbd> ` : ""}${esc(reason)}</button>`).join("")}</div>`;
    const card = this.card();
    const on = (value) => `aria-pressed="${Boolean(value)}"`;
    const pin = this.canPin() ? button("pin", "Pin a place", "i", on(this.cross)) : "";
    let html = "";
    if (sheet?.own) html = `<p class="pl-note">You drew ${esc(sheet.object)}: nobody inspects their own work.</p>`;
    else if (sheet?.kind === "discards" && card) html = `<div class="pi-two">${button("uphold", "Rightly given up", "g")}${button("restore", "Draw it after all", "d")}</div>`;
    else if (this.open_ && card) {
      html = `<div class="pi-two">${button("pass", "Pass", "p", `${on(card.passed === true)} class="pi-pass"`)}${button("fail", "Fail", "f", `${on(card.passed === false || this.armed)} class="pi-fail"`)}</div>${reasons()}`;
      if (sheet.kind === "round") {
        const finish = sheet.finish ? button("finish", "Finish", "Enter", 'class="pi-main-button"') : "";
        html += `<div class="pi-row">${finish}${button("undo", "Undo", "u")}${pin}${sheet.waiting ? button("rest", "All pictures", "r") : ""}${sheet.doubts ? button("doubts", "Likely wrong first", "w", on(this.doubtsFirst)) : ""}</div>`;
      } else html += `<div class="pi-row">${pin}</div>`;
    } else if (this.decided) {
      html = `<p class="pi-state" data-state="${sheet.state}">${esc(sheet.state)}: ${esc(sheet.summary)}</p><div class="pi-row">${sheet.state === "accepted" && card && !card.back ? button("back", "Send this picture back", "b", on(this.armed)) : ""}${pin}${this.queue?.lead ? button("reopen", "Open it again", "o") : ""}</div>${this.armed ? reasons() : ""}`;
    }
    this.find(".pi-actions").innerHTML = html;
    const draft = this.draft();
    if (document.activeElement !== this.field) this.field.value = draft.note;
    this.find(".pi-note").hidden = !card || !(this.open_ || this.armed || this.decided);
    this.find(".pi-pins").innerHTML = draft.pins.map((pin, n) => `<li><b>${esc(pin.part || "no part")}</b> ${esc(pin.why)} <button type="button" data-unpin="${n}" aria-label="Take pin ${n + 1} away">×</button></li>`).join("");
    this.stage.pins(draft.pins);
    this.drawRules();
  },

  drawRules() {
    const { sheet, esc } = this;
    const drawn = sheet?.kind !== "discards";
    const parts = (sheet?.parts || []).map((part) => `<li data-part="${esc(part.name)}"><span class="pl-swatch" style="background:${part.colour}"></span>${esc(part.name)}${part.about ? ` <span class="pl-soft">${esc(part.about)}</span>` : ""}</li>`).join("");
    const example = sheet?.example ? `<button type="button" data-do="example" aria-pressed="${Boolean(this.beside)}">Example beside it <kbd>e</kbd></button>` : "";
    const html = !sheet ? "" : `${example}<h2>Parts</h2><ul class="pi-parts">${parts}</ul><h2>Drawing rules</h2>${sheet.note ? `<p><b>${esc(sheet.note)}</b></p>` : ""}<ol>${sheet.drawing.map((rule) => `<li>${rule}</li>`).join("")}</ol>${sheet.rules.length ? `<h2>Plan ${esc(sheet.plan)}</h2><ul>${sheet.rules.map((rule) => `<li>${esc(rule)}</li>`).join("")}</ul>` : ""}${sheet.elsewhere.length ? `<h2>Likely wrong, not drawn</h2><p class="pl-soft">They count for nothing here; once the category is accepted, one that is bad goes back alone.</p><ul>${sheet.elsewhere.map((one) => `<li>image ${one.image_id}: ${esc(one.why)}</li>`).join("")}</ul>` : ""}`;
    const place = this.find(".pi-rules");
    if (this.drawn !== html) place.innerHTML = this.drawn = html;
    place.toggleAttribute("data-masks", drawn);
  },

  drawStrip() {
    const mark = (card) => (card.passed === true ? "✓" : card.passed === false ? "✗" : card.doubt ? "?" : "");
    const told = (card) => `${card.file}${card.passed === true ? ", passed" : card.passed === false ? `, failed: ${card.reason}` : ", no verdict yet"}`;
    const html = this.cards().map((card) => `<button type="button" data-go="${card.image}" title="${this.esc(told(card))}" aria-label="${this.esc(told(card))}" data-mark="${mark(card)}"${card.image === this.image ? ' aria-current="true"' : ""}><span></span></button>`).join("");
    const strip = this.find(".pi-strip");
    const pictures = new Map([...strip.children].map((each) => [each.dataset.go, each.firstElementChild]));
    strip.innerHTML = html;
    for (const each of strip.children) {
      const old = pictures.get(each.dataset.go);
      if (old && this.strip === `${this.sheet?.object}/${this.sheet?.round}`) each.replaceChildren(old);
    }
    this.strip = `${this.sheet?.object}/${this.sheet?.round}`;
    strip.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  },

  drawFoot() {
    const { sheet, esc } = this;
    const card = this.card();
    const line = (key, does, words) => `<span><kbd>${key}</kbd> <b>${does}:</b> ${esc(words)}</span>`;
    const lines = [];
    if (this.cross) {
      const part = this.stage.partAt(this.cross.x, this.cross.y);
      lines.push(`<span>The cross is on <b>${esc(part || "no part")}</b>. <kbd>← → ↑ ↓</kbd> move it, with <kbd>Shift</kbd> further. <kbd>Enter</kbd> pins this place. <kbd>Esc</kbd> none</span>`);
    } else if (this.armed) lines.push("<span>Now the number of a reason. <kbd>Esc</kbd> none</span>");
    else if (sheet?.finish) lines.push(line("Enter", "finish", sheet.finish));
    else if (this.open_ && card?.ahead) {
      const [yes, no] = sheet.kind === "discards" ? [["g", "given up"], ["d", "draw it"]] : [["p", "pass"], ["f", "fail"]];
      if (card.ahead.true) lines.push(line(...yes, card.ahead.true), line(...no, card.ahead.false));
    } else if (this.open_ && card?.passed === null) lines.push("<span>The plan does not need this picture any more.</span>");
    else if (this.decided) lines.push(`<span>${esc(sheet.summary)}</span>`);
    this.find(".pi-foot").innerHTML = lines.join("");
  },
};
