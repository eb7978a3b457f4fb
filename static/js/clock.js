// Times that move: `<time data-ago>` (how long since) and `<time data-until>` (how long left).
// The server has written both already; this only keeps them true.

const [MINUTE, HOUR, DAY] = (document.documentElement.dataset.units ?? "m h d").split(" ");

function ago(seconds) {
  if (seconds < 60) return document.documentElement.dataset.now ?? "now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${MINUTE}`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}${HOUR}`;
  return `${Math.floor(seconds / 86_400)}${DAY}`;
}

function left(seconds) {
  const minutes = Math.max(0, Math.floor(seconds / 60));
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours} ${HOUR} ${minutes % 60} ${MINUTE}` : `${minutes} ${MINUTE}`;
}

function tick() {
  for (const node of document.querySelectorAll("time[data-ago], time[data-until]")) {
    const seconds = (Date.parse(node.dateTime) - Date.now()) / 1000;
    const text = node.hasAttribute("data-ago") ? ago(-seconds) : left(seconds);
    if (node.textContent !== text) node.textContent = text;
    // The window has just closed: let the composer say so.
    if (node.hasAttribute("data-until") && seconds < 0 && !node.dataset.over) {
      node.dataset.over = "1";
      document.body.dispatchEvent(new CustomEvent("window-closed"));
    }
  }
}

setInterval(tick, 15_000);
