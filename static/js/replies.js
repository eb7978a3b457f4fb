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
// Enter may be quicker than the search: what is offered then answers an older word, so the choice waits for the answer.
let shown;
let chosenAhead = false;
const search = () => document.getElementById("reply-search");
const chooseFirst = () => menu().querySelector("[data-inserts]")?.click();

addEventListener("htmx:afterSwap", ({ target, detail }) => {
  if (target.id !== "replies-offered") return;
  shown = detail.requestConfig.parameters.q;
  if (!chosenAhead || shown !== search().value) return;
  chosenAhead = false;
  chooseFirst();
});
addEventListener("keydown", (event) => {
  if (event.target !== search()) return;
  const fresh = shown === event.target.value;
  chosenAhead = event.key === "Enter" && !fresh;
  if (event.key === "Enter") fresh && chooseFirst();
  else if (event.key === "Backspace" && !event.target.value) menu().hidePopover();
  else return;
  event.preventDefault();
});
// Closed, it offers nothing and looks for nothing. (Before it closes: a `toggle` is not told when it opens again at once.)
addEventListener("beforetoggle", ({ target, newState }) => {
  if (target !== menu() || newState === "open") return;
  shown = undefined;
  chosenAhead = false;
  search().value = "";
  document.getElementById("replies-offered").replaceChildren();
}, true);
addEventListener("toggle", ({ target, newState }) => {
  if (target === menu() && newState === "closed" && document.activeElement === document.body) area()?.focus();
}, true);
