// `<button data-copies="id">` copies the text of the element with that id, and says so.

addEventListener("click", async ({ target }) => {
  const button = target.closest?.("[data-copies]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent.trim());
  const label = button.textContent;
  button.textContent = button.dataset.done ?? "✓";
  setTimeout(() => (button.textContent = label), 2000);
});
