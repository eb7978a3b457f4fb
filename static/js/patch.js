// The htmx swap style "patch": keep what is the same, by id, and change only what differs.
// So a playing voice note goes on playing and a focused row keeps its focus while the thread grows.
// Use: hx-ext="patch" hx-swap="patch"; the answer is the region's own element again.

function syncAttributes(old, fresh) {
  // Whether somebody has folded a <details> is theirs to say.
  const mine = (name) => name === "open" && old.tagName === "DETAILS";
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !mine(name)) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) !== value && !mine(name)) old.setAttribute(name, value);
  }
}

function patch(old, fresh, added) {
  syncAttributes(old, fresh);
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let cursor = old.firstElementChild;
  for (const child of [...fresh.children]) {
    const twin = child.id ? known.get(child.id) : cursor && !cursor.id ? cursor : null;
    if (!twin) {
      old.insertBefore(child, cursor);
      added.push(child);
      continue;
    }
    if (twin === cursor) cursor = cursor.nextElementSibling;
    else old.insertBefore(twin, cursor);
    if (same(twin, child)) continue;
    if (twin.tagName === child.tagName && child.hasAttribute("data-patch")) patch(twin, child, added);
    else {
      twin.replaceWith(child);
      added.push(child);
    }
  }
  while (cursor) {
    const next = cursor.nextElementSibling;
    cursor.remove();
    cursor = next;
  }
}

const same = (old, fresh) =>
  old.dataset.version ? old.dataset.version === fresh.dataset.version : old.isEqualNode(fresh);

htmx.defineExtension("patch", {
  isInlineSwap: (style) => style === "patch",
  handleSwap(style, target, fragment) {
    const fresh = fragment.firstElementChild;
    if (style !== "patch" || !fresh) return false;
    const focused = document.activeElement?.id;
    const added = [target];
    patch(target, fresh, added);
    if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus();
    return added;
  },
});
