// Light, dark, or as the system: kept in a cookie, so that the server paints the right one at once.

addEventListener("click", ({ target }) => {
  const choice = target.closest?.("[data-theme-choice]")?.dataset.themeChoice;
  if (choice === undefined) return;
  document.cookie = `sb_theme=${choice};path=/;max-age=31536000;samesite=lax`;
  if (choice) document.documentElement.dataset.theme = choice;
  else delete document.documentElement.dataset.theme;
  mark(choice);
});

function mark(choice) {
  document.querySelectorAll("[data-theme-choice]").forEach((node) => {
    node.setAttribute(node.role ? "aria-checked" : "aria-pressed", node.dataset.themeChoice === choice);
  });
}

mark(document.documentElement.dataset.theme ?? "");
