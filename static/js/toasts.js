// Toasts. The server answers `HX-Trigger: {"toast": {text, kind, undo?, label?}}`; `undo` is a URL that
// a POST takes back. Errors of htmx become toasts here too, so that no failure is silent.

const region = document.querySelector(".toasts");
const LIFE = 8000;

function leave(toast) {
  if (!toast.matches(":hover, :focus-within")) toast.remove();
  else setTimeout(leave, 2000, toast);
}

function show({ text, kind = "", undo, label }) {
  const toast = document.getElementById("toast-model").content.firstElementChild.cloneNode(true);
  toast.querySelector("p").textContent = text;
  if (kind) toast.classList.add(`toast-${kind}`);
  const form = toast.querySelector("form");
  if (undo) {
    form.action = undo;
    form.setAttribute("hx-post", undo);
    if (label) form.querySelector("button").textContent = label;
  } else form.remove();
  region.append(toast);
  htmx.process(toast);
  while (region.children.length > 4) region.firstElementChild.remove();
  setTimeout(leave, LIFE, toast);
}

region.addEventListener("click", ({ target }) => target.closest(".icon-button")?.closest(".toast").remove());
region.addEventListener("htmx:afterRequest", ({ target }) => target.closest(".toast")?.remove());
region.querySelectorAll(".toast").forEach((toast) => setTimeout(leave, LIFE, toast));
document.body.addEventListener("toast", ({ detail }) => show(detail));
document.body.addEventListener("htmx:responseError", ({ detail }) => {
  // Regions fetch by themselves and will again; only what somebody did is worth a word.
  const said = detail.xhr.getResponseHeader("HX-Trigger");
  const byItself = detail.requestConfig.verb === "get" || detail.elt.matches(".mark-read");
  if (!byItself && !said) show({ text: region.dataset.failed, kind: "danger" });
});
document.body.addEventListener("htmx:sendError", ({ detail }) => {
  if (detail.requestConfig.verb !== "get") show({ text: region.dataset.offline, kind: "danger" });
});
