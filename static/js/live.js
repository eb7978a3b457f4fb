// The live stream: one EventSource per page, turned into events on <body>.
//
//   live              something happened in the account (any conversation)
//   live:<id>         something happened in the conversation with this public id
//
// Regions re-fetch themselves (`hx-trigger="live from:body"`); the stream itself carries ids only.
// After every reconnect everything is fetched once. After three failures the page polls.

const QUIET = 400; // several facts of one moment make one request
const POLL = 15_000;
const meta = document.querySelector('meta[name="live"]');
const waiting = new Map();
let address = meta?.content;
let source;
let failures = 0;
let poll;

function emit(name) {
  const timer = waiting.get(name);
  if (timer) return (timer.again = true);
  document.body.dispatchEvent(new CustomEvent(name));
  const entry = { again: false };
  waiting.set(name, entry);
  setTimeout(() => {
    waiting.delete(name);
    if (entry.again) emit(name);
  }, QUIET);
}

function everything() {
  emit("live");
  document.querySelectorAll("[data-live-id]").forEach((node) => emit(`live:${node.dataset.liveId}`));
}

const state = (name) => (document.documentElement.dataset.live = name);

async function renew() {
  const answer = await fetch(meta.dataset.renew, { headers: { Accept: "application/json" } });
  if (answer.status === 401 || answer.status === 403 || answer.redirected) return location.reload();
  if (answer.ok) address = (await answer.json()).address;
}

function connect() {
  source = new EventSource(address);
  source.onopen = () => {
    if (failures || document.documentElement.dataset.live) everything();
    failures = 0;
    clearInterval(poll);
    poll = null;
    state("on");
  };
  source.onmessage = ({ data }) => {
    const { conversation } = JSON.parse(data);
    emit("live");
    if (conversation) emit(`live:${conversation}`);
  };
  source.addEventListener("reload", everything);
  source.addEventListener("closed", () => {
    source.close();
    location.reload();
  });
  source.onerror = () => {
    source.close();
    failures += 1;
    if (failures >= 3 && !poll) {
      poll = setInterval(everything, POLL);
      state(navigator.onLine ? "polling" : "offline");
    }
    setTimeout(reconnect, Math.min(1000 * 2 ** (failures - 1), 30_000) * (0.75 + Math.random() / 2));
  };
}

async function reconnect() {
  try {
    if (meta.dataset.renew) await renew();
  } catch {
    // No network: the next try of the stream will say so again.
  }
  connect();
}

if (meta) {
  connect();
  addEventListener("online", everything);
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && connect());
}
