// Saved replies: `/` at the start of a word opens the menu, what is chosen takes the slash's place.

const menu = () => document.getElementById("reply-menu");
const area = () => document.querySelector(".composer textarea");

function insert(text) {
  const box = area();
  const end = box.selectionEnd;
  const start = box.selectionStart - Number(opens(box.value.slice(0, box.selectionStart)));
  box.setRangeText(text, start, end, "end");
  menu().hidePopover();
  box.focus();
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

const opens = (before) => /(^|\s)\/$/.test(before);

addEventListener("input", (event) => {
  if (event.target !== area() || event.data !== "/" || !menu()) return;
  if (opens(area().value.slice(0, area().selectionStart))) document.getElementById("reply-button").click();
});
addEventListener("click", ({ target }) => {
  const chosen = target.closest?.("[data-inserts]");
  if (chosen) insert(chosen.dataset.inserts);
});
addEventListener("keydown", (event) => {
  if (event.target.id !== "reply-search") return;
  if (event.key === "Enter") menu().querySelector("[data-inserts]")?.click();
  else if (event.key === "Backspace" && !event.target.value) menu().hidePopover();
  else return;
  event.preventDefault();
});
// Closed, it looks for nothing the next time, and one goes on writing.
addEventListener("toggle", ({ target, newState }) => {
  if (target !== menu() || newState === "open") return;
  document.getElementById("reply-search").value = "";
  if (document.activeElement === document.body) area()?.focus();
}, true);
