// Ctrl+K: type, arrow, Enter. The server finds conversations; pages are already in the list.

const palette = document.getElementById("palette");
const input = palette?.querySelector("input");
const options = () => [...palette.querySelectorAll('[role="option"]')].filter((node) => !node.hidden);

function select(node) {
  palette.querySelector('[aria-selected="true"]')?.setAttribute("aria-selected", "false");
  node?.setAttribute("aria-selected", "true");
  node?.scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", node?.id ?? "");
}

function narrow() {
  const wanted = input.value.trim().toLocaleLowerCase();
  palette.querySelectorAll("[data-page]").forEach((node) => {
    node.hidden = !node.textContent.toLocaleLowerCase().includes(wanted);
  });
  select(options()[0]);
}

input?.addEventListener("input", narrow);
input?.addEventListener("keydown", (event) => {
  const all = options();
  const now = all.findIndex((node) => node.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    select(all[(now + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length]);
  } else if (event.key === "Enter") {
    event.preventDefault();
    all[now]?.click();
  }
});
palette?.addEventListener("htmx:afterSwap", narrow);
palette?.addEventListener("toggle", () => palette.open && narrow());
