// The lead's table: filtered while one writes, sorted by a click on a column's head.
(() => {
  document.addEventListener("input", (event) => {
    if (!event.target.matches?.("[data-filter]")) return;
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of document.querySelectorAll(".pg tr[data-words]"))
      row.hidden = !words.every((word) => row.dataset.words.toLowerCase().includes(word));
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".pg [data-sort]");
    if (!button) return;
    const head = button.closest("th");
    const down = head.getAttribute("aria-sort") === "ascending";
    const at = Number(button.dataset.sort);
    const value = (row) => row.cells[at].dataset.value ?? row.cells[at].textContent.trim();
    const body = head.closest("table").tBodies[0];
    const rows = [...body.rows].sort((a, b) => value(a).localeCompare(value(b), "en", { numeric: true }));
    body.append(...(down ? rows.reverse() : rows));
    head.parentElement.querySelectorAll("[aria-sort]").forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  });
})();
