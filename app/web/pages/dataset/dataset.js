// What is pressed on the page Data set becomes an event of its HTML; arrows are named as keys say.
partlab.dataset = (element, trigger) => {
  element.addEventListener("click", (event) => {
    const button = event.target.closest("[data-image], [data-page], [data-set], [data-act=include]");
    if (!button) return;
    const { image, page, set, act, object, inner, outer } = button.dataset;
    if (act === "include") {
      button.disabled = true;
      trigger("apply", { object, inner, outer });
    } else if (set !== undefined) trigger("click", JSON.parse(set));
    else if (image !== undefined) trigger("click", { image, view: "pictures", masks: "" });
    else trigger("click", { page });
  });
  element.addEventListener("change", (event) => {
    const form = event.target.closest("[data-export]");
    if (!form || event.target.name !== "wanted") return;
    const taken = [...form.querySelectorAll("[name=wanted]:checked")];
    trigger("click", { wanted: taken.map((box) => box.value).join(" ") });
  });
  element.addEventListener("submit", (event) => {
    const form = event.target;
    event.preventDefault();
    if (form.matches("[data-back]")) trigger("submit", { reason: form.reason.value, note: form.note.value });
    else if (form.matches("[data-export]")) trigger("release", { folder: form.folder.value, filters: location.search.slice(1) });
  });
};
