// What popovers and dialogs do not do by themselves: arrow keys and a filter in menus, and
// `data-opens="id"` / `data-closes` for dialogs.

const items = (menu) => [...menu.querySelectorAll(".menu-item")].filter((item) => !item.closest("[hidden]"));

addEventListener("keydown", (event) => {
  const menu = event.target.closest?.(".menu");
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!menu || !by) return;
  const all = items(menu);
  event.preventDefault();
  all[(all.indexOf(document.activeElement) + by + all.length) % all.length]?.focus();
});

addEventListener("input", ({ target }) => {
  const menu = target.matches("[data-filters]") && target.closest(".menu");
  if (!menu) return;
  const wanted = target.value.trim().toLocaleLowerCase();
  menu.querySelectorAll("[data-filtered]").forEach((node) => {
    node.hidden = !node.textContent.toLocaleLowerCase().includes(wanted);
  });
});

addEventListener("click", ({ target }) => {
  const opener = target.closest?.("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  if (target.closest?.("[data-closes]") || target.matches?.("dialog")) target.closest("dialog").close();
  const remove = target.closest?.("[data-dismisses]");
  if (remove) remove.closest(remove.dataset.dismisses).remove();
});

// A menu item that has done its work closes the menu it was in; a search in it is no such work.
document.body.addEventListener("htmx:afterRequest", ({ target }) => {
  if (target.matches?.("input")) return;
  const menu = target.closest?.("[popover]:popover-open");
  if (menu?.matches(".menu")) menu.hidePopover();
});
