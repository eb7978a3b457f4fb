// The keyboard. `data-key="a"` on a control is the whole shortcut: it clicks that control, so no key can
// do what no button can. "mod+k" works inside fields too; single keys do not, and can be switched off.

const FIELD = "input:not([type=checkbox], [type=radio], [type=button]), textarea, select, [contenteditable]";
const visible = (node) => node.checkVisibility?.() ?? node.offsetParent !== null;

function control(key) {
  const scope = document.querySelector("dialog[open]") ?? document;
  const all = [...scope.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].filter((node) => !node.disabled);
  // A control in a closed menu is still a control; a visible twin of it comes first.
  return all.find(visible) ?? all[0];
}

function step(by) {
  const rows = [...document.querySelectorAll("[data-rows] > a")];
  const now = rows.findIndex((row) => row === document.activeElement);
  const from = now < 0 ? rows.findIndex((row) => row.hasAttribute("aria-current")) : now;
  rows[Math.max(0, Math.min(rows.length - 1, from + by))]?.focus();
}

addEventListener("keydown", (event) => {
  if (event.isComposing || event.altKey || event.defaultPrevented) return;
  const modified = event.ctrlKey || event.metaKey;
  if (!modified) {
    if (event.target.closest?.(FIELD) || document.documentElement.dataset.shortcuts === "off") return;
    if (document.querySelector("[popover].menu:popover-open, dialog[open]")) return;
    if (event.key === "j" || event.key === "k") return step(event.key === "j" ? 1 : -1);
  }
  const node = control((modified ? "mod+" : "") + event.key.toLowerCase());
  if (!node) return;
  event.preventDefault();
  node.click();
});
