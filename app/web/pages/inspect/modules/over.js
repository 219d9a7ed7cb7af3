// What lies over the page: a question, words that go by, all pictures at once.
import { layers } from "./stage.js";

export const over = {
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
  },

  toast(words, kind = "") {
    const place = this.find(".pi-toasts");
    const one = document.createElement("p");
    one.className = kind;
    if (kind === "bad") one.innerHTML = words; // escaped by the server
    else one.textContent = words;
    place.append(one);
    setTimeout(() => one.remove(), kind === "bad" ? 12000 : 6000);
  },

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
        place.innerHTML = layers(found);
      }
    }
  },

  closeGrid() {
    this.find(".pi-dialog").close();
    this.grid = false;
  },

};
