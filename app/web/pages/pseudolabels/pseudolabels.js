// While a threshold is moved its number and its line follow; what it changes is asked when it rests.
document.addEventListener("input", (event) => {
  const range = event.target.closest?.("[data-part]");
  if (!range) return;
  range.parentElement.querySelector("output").textContent = Number(range.value).toFixed(2);
  range.closest("tr").querySelector("[data-cut]")?.setAttribute("d", `M${200 * range.value} 0V30`);
});
