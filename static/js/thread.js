// The list's current row, and in the thread: "jump to the newest" while somebody reads further up, and following a quoted message.

const scroll = () => document.querySelector(".thread-scroll");

function mark() {
  const button = document.querySelector(".jump");
  if (button) button.hidden = scroll().scrollTop > -160;
}

function markCurrent() {
  document.querySelectorAll("[data-rows] > a").forEach((row) => {
    if (row.pathname === location.pathname) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  });
}

document.body.addEventListener("htmx:pushedIntoHistory", markCurrent);
document.body.addEventListener("htmx:afterSettle", () => scroll() && mark());
addEventListener("scroll", ({ target }) => target === scroll() && mark(), { capture: true, passive: true });
addEventListener("click", (event) => {
  if (event.target.closest?.(".jump")) scroll().scrollTo({ top: 0, behavior: "smooth" });
  const quote = event.target.closest?.("a.quote");
  const target = quote && document.getElementById(quote.hash.slice(1));
  if (!target) return;
  event.preventDefault();
  target.scrollIntoView({ block: "center", behavior: "smooth" });
  target.classList.remove("is-target");
  requestAnimationFrame(() => target.classList.add("is-target"));
});
