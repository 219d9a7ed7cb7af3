// Masks are pointed at, chosen with a click or Enter, walked through with n and p, let go with Escape.
(() => {
  const result = () => document.querySelector(".pl-result");
  // An id, or several with spaces between them: a finding is about two masks.
  const each = (ids) => (ids || "").split(" ").filter(Boolean);
  const of = (place, ids) => each(ids).flatMap((id) => [...place.querySelectorAll(`[data-mark="${CSS.escape(id)}"]`)]);

  const told = (place, ids) => of(place, ids).filter((mark) => mark.matches("path")).map((mark) => mark.dataset.words).join("; ");

  function light(place, id) {
    place.querySelectorAll("[data-on]").forEach((mark) => mark.removeAttribute("data-on"));
    place.toggleAttribute("data-chosen", Boolean(id));
    if (id) of(place, id).forEach((mark) => mark.setAttribute("data-on", ""));
    for (const view of place.querySelectorAll(".pl-view")) {
      const line = view.querySelector("[data-pointed]");
      line.dataset.rest ??= line.textContent; // what to do, or why there is no mask
      line.textContent = told(view, id) || (id ? "\u00a0" : line.dataset.rest);
    }
  }

  function choose(place, id) {
    place.dataset.pinned = id || "";
    place.querySelectorAll("[aria-pressed]").forEach((mark) => {
      mark.setAttribute("aria-pressed", String(each(id).includes(mark.dataset.mark)));
    });
    light(place, id);
    const words = told(place, id);
    partlab.say(words ? `${id}: ${words}` : "no part chosen");
  }

  function step(place, by) {
    const ids = [...place.querySelectorAll("tr[data-mark], li[data-mark]")].map((mark) => mark.dataset.mark);
    if (!ids.length) return;
    const now = ids.indexOf(place.dataset.pinned);
    choose(place, ids[now < 0 ? (by > 0 ? 0 : ids.length - 1) : (now + by + ids.length) % ids.length]);
  }

  document.addEventListener("pointerover", (event) => {
    const place = event.target.closest?.(".pl-result");
    if (!place) return;
    const mark = event.target.closest("path[data-mark], tr[data-mark], li[data-mark]");
    light(place, mark ? mark.dataset.mark : place.dataset.pinned);
  });
  document.addEventListener("focusin", (event) => {
    const mark = event.target.closest?.(".pl-stage path[data-mark]");
    if (mark) light(mark.closest(".pl-result"), mark.dataset.mark);
  });
  document.addEventListener("click", (event) => {
    const place = event.target.closest?.(".pl-result");
    if (!place || event.target.closest("a, summary, pre")) return;
    const mark = event.target.closest("path[data-mark], button[data-mark]");
    if (mark) choose(place, place.dataset.pinned === mark.dataset.mark ? "" : mark.dataset.mark);
    else if (event.target.closest(".pl-stage")) choose(place, "");
  });
  document.addEventListener("keydown", (event) => {
    const place = result();
    if (!place || event.ctrlKey || event.metaKey || event.altKey || partlab.writing(event.target)) return;
    const mark = event.target.closest?.(".pl-stage path[data-mark]");
    if (mark && (event.key === "Enter" || event.key === " ")) {
      choose(place, place.dataset.pinned === mark.dataset.mark ? "" : mark.dataset.mark);
      event.preventDefault();
      event.stopImmediatePropagation();
    } else if (event.key === "n") step(place, 1);
    else if (event.key === "p") step(place, -1);
    else if (event.key === "Escape") choose(place, "");
    else if (event.key === "m") place.toggleAttribute("data-bare");
  }, true);
})();
