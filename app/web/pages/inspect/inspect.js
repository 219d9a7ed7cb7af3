// The page Inspect: what is on the screen, and what each key does. Pictures are in stage.js.
(() => {
  const DIGITS = "1234567890";
  let page = null;

  partlab.inspect = (element) => {
    page = new Inspect(element.querySelector(".pi"));
    page.start();
  };

  // One of the page's named events.
  async function call(name, ...data) {
    let answer;
    try {
      answer = await fetch(`gradio_api/run/inspect_${name}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ data }),
      });
    } catch {
      throw new Error("The app does not answer. Nothing was saved; try it again.");
    }
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told.data[0];
    const signedOut = "You are signed out. Load the page again; what was saved is there.";
    throw new Error(answer.status === 401 ? signedOut : told.error || "The app made a mistake; its log says more.");
  }

  class Inspect {
    constructor(root) {
      const { esc } = partlab;
      Object.assign(this, { root, esc, pictures: new Map(), pending: new Map(), said: [], armed: "", chain: Promise.resolve() });
      const words = new URLSearchParams(location.search);
      Object.assign(this, { work: words.get("work") || "", doubtsFirst: words.get("first") === "wrong" });
      this.asked = { kind: words.get("kind"), object: words.get("object"), image: Number(words.get("image")) };
      const [here, example] = root.querySelectorAll(".pi-stage");
      this.stage = new partlab.Stage(here, (x, y, part) => this.ask(x, y, part));
      this.example = new partlab.Stage(example, null);
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

    // --- notes and pins: kept in this browser until they are saved with a verdict

    key(card, sheet = this.sheet) {
      return `pi:${this.queue.who}:${this.work}/${sheet.object}/${sheet.round}/${card.image}`;
    }

    draft(card = this.card()) {
      if (!card) return { note: "", pins: [] };
      return JSON.parse(localStorage.getItem(this.key(card)) || "null") || { note: card.note, pins: card.pins };
    }

    keep(draft) {
      const card = this.card();
      if (!card) return;
      localStorage.setItem(this.key(card), JSON.stringify(draft));
      if (this.open_ && this.sheet.kind === "round" && card.passed !== null && card.mine)
        this.say(card.passed, card.reason || "", card.image);
      else this.draw();
    }

    noted() {
      this.keep({ ...this.draft(), note: this.field.value.trim() });
    }

    ask(x, y, part) {
      if (this.find(".pi-why")) return; // it is being left, which keeps what was written
      if (!(this.open_ || this.decided) || this.sheet.kind === "discards" || !this.card()) return;
      const form = document.createElement("form");
      form.className = "pi-why";
      form.style = `left:${100 * x}%;top:${100 * y}%`;
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
    }

    // --- what is done

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
    }

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
    }

    find_(image) {
      return this.sheet.cards.find((card) => card.image === image);
    }

    async done() {
      await this.refresh();
      await this.next();
    }

    // To the next picture that waits, else stay.
    forward() {
      const cards = this.cards();
      const at = cards.findIndex((card) => card.image === this.image);
      const order = [...cards.slice(at + 1), ...cards.slice(0, Math.max(at, 0))];
      const next = order.find((card) => card.due && card.passed === null);
      this.waits = !next; // the plan names the next one when it has this verdict
      this.show((next || this.card() || cards[0])?.image);
    }

    step(by) {
      const cards = this.cards();
      const at = cards.findIndex((card) => card.image === this.image);
      const next = cards[at + by];
      if (next) this.show(next.image);
    }

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
    }

    async finish() {
      const { object, round, finish, waiting } = this.sheet;
      if (!finish) return this.toast(`${object} is not decided yet: ${waiting} to look at.`);
      if (!(await this.sure(`Finish ${object} round ${round}?`, finish, "Finish"))) return null;
      const found = await call("finish", this.work, object);
      this.toast(`${object} round ${round} is ${found.state}: ${found.summary}.`, "good");
      return this.done();
    }

    async passRest() {
      const { sheet } = this;
      if (!this.open_ || sheet.kind !== "round" || !sheet.waiting) return;
      if (!this.grid) return this.openGrid();
      this.closeGrid();
      this.take(await call("pass_rest", this.work, sheet.object));
      this.show(this.image);
      return null;
    }

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
    }

    async reopen() {
      const { object, round } = this.sheet;
      const why = await this.sure(`Open ${object} round ${round} again?`, "Its verdicts count no more, and its images are inspected again.", "Open it again", "Why?");
      if (!why) return;
      this.take(await call("reopen", this.work, object, why));
      await this.refresh();
      this.show(this.cards()[0]?.image);
    }

    // A question; Enter is yes, Escape no. With `ask` the answer is what was written.
    sure(title, words, yes, ask = "") {
      const box = this.find(".pi-dialog");
      const field = ask ? `<label>${this.esc(ask)}<input required maxlength="300"></label>` : "";
      box.innerHTML = `<form method="dialog"><h2>${this.esc(title)}</h2><p>${this.esc(words)}</p>${field}<p class="pi-row"><button value="yes" class="pi-main-button">${this.esc(yes)} <kbd>Enter</kbd></button><button value="" formnovalidate type="button" data-no>No <kbd>Esc</kbd></button></p></form>`;
      box.returnValue = "";
      box.className = "pi-dialog";
      box.showModal();
      (box.querySelector("input") || box.querySelector("button")).focus();
      return new Promise((resolve) => {
        box.querySelector("[data-no]").addEventListener("click", () => box.close(""));
        box.addEventListener("close", () => resolve(box.returnValue === "yes" && (ask ? box.querySelector("input").value.trim() : true)), { once: true });
      });
    }

    // --- what is seen

    show(image) {
      if (image !== this.image) {
        this.armed = "";
        Object.assign(this, { since: performance.now(), away: 0 });
      }
      this.image = image;
      this.draw();
    }

    // Seconds that this picture was looked at, without those in another tab.
    seconds() {
      return Math.round((performance.now() - this.since - (this.away || 0)) / 100) / 10;
    }

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
    }

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
    }

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
    }

    async drawExample() {
      const view = this.find("[data-view=example]");
      const example = this.shownExample();
      view.hidden = !(this.beside && example);
      this.stage.fit();
      if (view.hidden) return;
      view.querySelector("figcaption").textContent = `an example, ${example.words}`;
      if (example.src) this.example.element.innerHTML = `<img class="pi-ready" src="${this.esc(example.src)}" alt="an example of the instructions">`;
      else this.example.show(await this.picture(example.image, example.round));
    }

    // The accepted image beside this one: another than this one, where there is another.
    shownExample() {
      const { example, cards, round } = this.sheet;
      if (example && (example.src || example.image !== this.image || example.round !== round)) return example;
      const other = cards.find((card) => card.passed && card.image !== this.image && !this.pending.has(card.image));
      return other ? { image: other.image, round, words: `passed by ${other.by}` } : example;
    }

    async thumb(image) {
      const found = await this.picture(image).catch(() => null);
      const place = this.find(`.pi-strip [data-go="${image}"] span`);
      if (found && place && !place.innerHTML) place.innerHTML = partlab.layers(found, false);
    }

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
    }

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
    }

    drawSide() {
      const { sheet, esc } = this;
      const button = (act, words, key, more = "") => `<button type="button" data-do="${act}" ${more}>${words} <kbd>${key}</kbd></button>`;
      const armed = this.armed ? "data-armed" : "";
      const reasons = () => `<div class="pi-reasons" ${armed} role="group" aria-label="Reason">${sheet.reasons.map((reason, n) => `<button type="button" data-reason="${n}">${DIGITS[n] ? `<kbd>${DIGITS[n]}</kbd> ` : ""}${esc(reason)}</button>`).join("")}</div>`;
      const card = this.card();
      const on = (value) => `aria-pressed="${Boolean(value)}"`;
      let html = "";
      if (sheet?.own) html = `<p class="pl-note">You drew ${esc(sheet.object)}: nobody inspects their own work.</p>`;
      else if (sheet?.kind === "discards" && card) html = `<div class="pi-two">${button("uphold", "Rightly given up", "g")}${button("restore", "Draw it after all", "d")}</div>`;
      else if (this.open_ && card) {
        html = `<div class="pi-two">${button("pass", "Pass", "p", `${on(card.passed === true)} class="pi-pass"`)}${button("fail", "Fail", "f", `${on(card.passed === false || this.armed)} class="pi-fail"`)}</div>${reasons()}`;
        if (sheet.kind === "round") {
          const finish = sheet.finish ? button("finish", "Finish", "Enter", 'class="pi-main-button"') : "";
          html += `<div class="pi-row">${finish}${button("undo", "Undo", "u")}${sheet.waiting ? button("rest", "All pictures", "r") : ""}${sheet.doubts ? button("doubts", "Likely wrong first", "w", on(this.doubtsFirst)) : ""}</div>`;
        }
      } else if (this.decided) {
        html = `<p class="pi-state" data-state="${sheet.state}">${esc(sheet.state)}: ${esc(sheet.summary)}</p><div class="pi-row">${sheet.state === "accepted" && card && !card.back ? button("back", "Send this picture back", "b", on(this.armed)) : ""}${this.queue?.lead ? button("reopen", "Open it again", "o") : ""}</div>${this.armed ? reasons() : ""}`;
      }
      this.find(".pi-actions").innerHTML = html;
      const draft = this.draft();
      if (document.activeElement !== this.field) this.field.value = draft.note;
      this.find(".pi-note").hidden = !card || !(this.open_ || this.armed || this.decided);
      this.find(".pi-pins").innerHTML = draft.pins.map((pin, n) => `<li><b>${esc(pin.part || "no part")}</b> ${esc(pin.why)} <button type="button" data-unpin="${n}" aria-label="Take pin ${n + 1} away">×</button></li>`).join("");
      this.stage.pins(draft.pins);
      this.drawRules();
    }

    drawRules() {
      const { sheet, esc } = this;
      const drawn = sheet?.kind !== "discards";
      const parts = (sheet?.parts || []).map((part) => `<li data-part="${esc(part.name)}"><span class="pl-swatch" style="background:${part.colour}"></span>${esc(part.name)}${part.about ? ` <span class="pl-soft">${esc(part.about)}</span>` : ""}</li>`).join("");
      const example = sheet?.example ? `<button type="button" data-do="example" aria-pressed="${Boolean(this.beside)}">Example beside it <kbd>e</kbd></button>` : "";
      const html = !sheet ? "" : `${example}<h2>Parts</h2><ul class="pi-parts">${parts}</ul><h2>Drawing rules</h2>${sheet.note ? `<p><b>${esc(sheet.note)}</b></p>` : ""}<ol>${sheet.drawing.map((rule) => `<li>${rule}</li>`).join("")}</ol>${sheet.rules.length ? `<h2>Plan ${esc(sheet.plan)}</h2><ul>${sheet.rules.map((rule) => `<li>${esc(rule)}</li>`).join("")}</ul>` : ""}${sheet.elsewhere.length ? `<h2>Likely wrong, not drawn</h2><p class="pl-soft">They count for nothing here; once the category is accepted, one that is bad goes back alone.</p><ul>${sheet.elsewhere.map((one) => `<li>image ${one.image_id}: ${esc(one.why)}</li>`).join("")}</ul>` : ""}`;
      const place = this.find(".pi-rules");
      if (this.drawn !== html) place.innerHTML = this.drawn = html;
      place.toggleAttribute("data-masks", drawn);
    }

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
    }

    drawFoot() {
      const { sheet, esc } = this;
      const card = this.card();
      const line = (key, does, words) => `<span><kbd>${key}</kbd> <b>${does}:</b> ${esc(words)}</span>`;
      const lines = [];
      if (this.armed) lines.push("<span>Now the number of a reason. <kbd>Esc</kbd> none</span>");
      else if (sheet?.finish) lines.push(line("Enter", "finish", sheet.finish));
      else if (this.open_ && card?.ahead) {
        const [yes, no] = sheet.kind === "discards" ? [["g", "given up"], ["d", "draw it"]] : [["p", "pass"], ["f", "fail"]];
        if (card.ahead.true) lines.push(line(...yes, card.ahead.true), line(...no, card.ahead.false));
      } else if (this.open_ && card?.passed === null) lines.push("<span>The plan does not need this picture any more.</span>");
      else if (this.decided) lines.push(`<span>${esc(sheet.summary)}</span>`);
      this.find(".pi-foot").innerHTML = lines.join("");
    }

    toast(words, kind = "") {
      const place = this.find(".pi-toasts");
      const one = document.createElement("p");
      one.className = kind;
      if (kind === "bad") one.innerHTML = words; // escaped by the server
      else one.textContent = words;
      place.append(one);
      setTimeout(() => one.remove(), kind === "bad" ? 12000 : 6000);
    }

    async openGrid() {
      const { sheet, esc } = this;
      const box = this.find(".pi-dialog");
      box.className = "pi-dialog pi-grid";
      const due = sheet.cards.filter((card) => card.due && card.passed === null);
      box.innerHTML = `<header><b>${due.length} to look at</b> <span class="pl-soft">${esc(sheet.rest)}</span><button type="button" data-do="rest" class="pi-main-button">Pass the rest <kbd>r</kbd></button><button type="button" data-do="close">Back <kbd>Esc</kbd></button></header><div>${due.map((card) => `<button type="button" data-go="${card.image}"><span></span><small>${card.doubt ? `<b class="pl-flag">${esc(card.doubt)}</b> ` : ""}${esc(card.file)}${card.missing.length ? `, not drawn: ${esc(card.missing.join(", "))}` : ""}</small></button>`).join("")}</div>`;
      this.grid = true;
      box.addEventListener("close", () => (this.grid = false), { once: true });
      box.showModal();
      for (const card of due) {
        const found = await this.picture(card.image).catch(() => null);
        const place = box.querySelector(`[data-go="${card.image}"] span`);
        if (found && place) {
          place.style.aspectRatio = `${found.width} / ${found.height}`;
          place.innerHTML = partlab.layers(found);
        }
      }
    }

    closeGrid() {
      this.find(".pi-dialog").close();
      this.grid = false;
    }

    // --- clicks and keys

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
    }

    pointed(event) {
      const row = event.target.closest(".pi-parts li");
      if (row || this.pointing) this.stage.part(row?.dataset.part);
      this.pointing = Boolean(row);
    }

    reason(number) {
      const words = this.sheet?.reasons[number];
      if (!words) return;
      if (this.decided && this.armed) this.run(() => this.sendBack(words));
      else if (this.open_) this.say(false, words);
    }

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
    }

    arm(what) {
      this.armed = this.armed ? "" : what;
      this.drawSide();
      this.drawFoot();
    }

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
      if (key === "Enter" && event.target.closest?.("button, a, summary")) return false;
      if (key === " ") return this.bare(true);
      return this.typed(key);
    }

    typed(key) {
      if (key === "Escape" && this.grid) this.closeGrid();
      else if (key === "Escape" && this.armed) this.arm("");
      else if (this.armed && DIGITS.includes(key)) this.reason(DIGITS.indexOf(key));
      else if (key === "ArrowLeft") this.step(-1);
      else if (key === "ArrowRight") this.step(1);
      else return this.act(KEYS[key.length === 1 ? key.toLowerCase() : key]);
      return true;
    }

    bare(on) {
      this.root.toggleAttribute("data-bare", on);
      return true;
    }
  }

  const KEYS = { p: "pass", f: "fail", u: "undo", n: "note", r: "rest", e: "example", w: "doubts", Enter: "finish", g: "uphold", d: "restore", b: "back", o: "reopen", 0: "whole" };

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
})();
