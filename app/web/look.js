// What all pages share. Everything is listened for on the document: pages are redrawn.
window.partlab = {
  // Put values into the address, without loading the page; what is empty is left out.
  address(names, values) {
    const url = new URL(location.href);
    names.forEach((name, at) => {
      let value = values[at];
      if (typeof value === "object" && value !== null) value = JSON.stringify(value);
      if (value === null || value === undefined || value === "") url.searchParams.delete(name);
      else url.searchParams.set(name, String(value));
    });
    history.replaceState(history.state, "", url);
  },

  // Whether somebody is writing, so that letters are letters.
  writing(target) {
    return Boolean(target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable=true]"));
  },

  // Say something to those who do not see the page.
  say(words) {
    let place = document.getElementById("pl-said");
    if (!place) {
      place = document.createElement("div");
      place.id = "pl-said";
      place.className = "pl-unseen";
      place.setAttribute("aria-live", "polite");
      document.body.append(place);
    }
    place.textContent = words;
  },

  dark(on) {
    document.body.classList.toggle("dark", on);
    localStorage.setItem("pl-dark", on ? "1" : "0");
  },
};

document.addEventListener("click", (event) => {
  const wanted = event.target.closest?.("[data-pl]")?.dataset.pl;
  const help = document.querySelector(".pl-help");
  if (wanted === "help") help?.showModal();
  if (wanted === "close") help?.close();
  if (wanted === "theme") partlab.dark(!document.body.classList.contains("dark"));
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || partlab.writing(event.target)) return;
  const help = document.querySelector(".pl-help");
  if (event.key === "?") {
    help?.showModal();
    event.preventDefault();
    return;
  }
  if (help?.open) return;
  if (event.key === "Enter" && event.target.closest?.("button, a, summary, [role=button]")) return;
  for (const bound of document.querySelectorAll(".pl-help [data-element]")) {
    const element = bound.dataset.element && document.getElementById(bound.dataset.element);
    if (bound.dataset.key.toLowerCase() !== event.key.toLowerCase() || !element) continue;
    const button = element.matches("button, a, input") ? element : element.querySelector("button, a, input");
    if (button && !button.disabled) button.click();
    event.preventDefault();
    return;
  }
});

document.documentElement.lang = "en";

// Gradio chooses light or dark by the system when it starts; what was chosen here comes after it.
(() => {
  const chosen = localStorage.getItem("pl-dark");
  if (chosen === null) return;
  const set = () => {
    if (document.body && document.body.classList.contains("dark") !== (chosen === "1"))
      document.body.classList.toggle("dark", chosen === "1");
  };
  set();
  const watch = new MutationObserver(set);
  watch.observe(document.documentElement, { attributes: true, subtree: true, attributeFilter: ["class"] });
  setTimeout(() => watch.disconnect(), 5000);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-pl=theme]")) watch.disconnect();
  }, true);
})();
