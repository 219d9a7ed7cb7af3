// The edge between clean and attacked follows the range above them; arrow keys move it too.
document.addEventListener("input", (event) => {
  if (!event.target.matches?.("[data-compare]")) return;
  event.target.closest(".pl-compare").style.setProperty("--at", `${event.target.value}%`);
});

// While a key is held down, everything that was compared is seen attacked, or clean.
(() => {
  const all = (value) => document.querySelectorAll("[data-compare]").forEach((range) => {
    range.closest(".pl-compare").style.setProperty("--at", `${value}%`);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || partlab.writing(event.target)) return;
    if (event.key === "c") all(100);
    if (event.key === "v") all(0);
  });
  document.addEventListener("keyup", (event) => {
    if (event.key !== "c" && event.key !== "v") return;
    document.querySelectorAll("[data-compare]").forEach((range) => {
      range.closest(".pl-compare").style.setProperty("--at", `${range.value}%`);
    });
  });
})();
