// The sandbox phone: sends without reloading, records voice, and shows what arrives as it arrives.
// Every message carries an id made here, so a repeated post has one effect.

const phone = document.getElementById("phone");
const scroll = document.getElementById("scroll");
const sending = document.getElementById("sending");
const writer = document.getElementById("writer");
const refusal = document.getElementById("refusal");
const text = writer.elements.text;
const { hook, upload, ticket, visitor } = phone.dataset;
const MAX_BYTES = 25 * 1024 * 1024;
let live = false;
let poll;

const screen = () => document.getElementById("screen");
const refresh = () => htmx.trigger(screen(), "refresh");
const toEnd = () => scroll.scrollTo({ top: scroll.scrollHeight });

function refuse(sentence = "") {
  refusal.textContent = sentence;
  refusal.hidden = !sentence;
}

// --- Sending -----------------------------------------------------------------------------------

function post(body) {
  return fetch(hook, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ visitor, ...body }),
  });
}

async function store({ file, voice }) {
  const form = new FormData();
  form.append("file", file, file.name);
  if (voice) form.append("voice", "on");
  const csrf = writer.elements.csrfmiddlewaretoken.value;
  const answer = await fetch(upload, { method: "POST", body: form, headers: { "X-CSRFToken": csrf } });
  const said = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(said.error), { final: true });
  return said.upload;
}

function preview({ file, voice }) {
  const kind = voice ? "audio" : file.type.split("/")[0];
  if (kind === "audio") {
    const player = new Audio(URL.createObjectURL(file));
    player.controls = true;
    player.className = "voice";
    return player;
  }
  const node = document.createElement(kind === "image" ? "img" : "p");
  if (kind === "image") {
    node.src = URL.createObjectURL(file);
    node.alt = file.name;
  } else node.textContent = file.name;
  node.className = kind === "image" ? "" : "file";
  return node;
}

function draw(message) {
  const line = document.getElementById("sending-line").content.firstElementChild.cloneNode(true);
  line.dataset.client = message.id;
  const answers = Object.values(message.form ?? {}).filter(Boolean).join(", ");
  line.querySelector(".text").textContent = message.text || message.choice?.title || answers;
  line.querySelector(".text").hidden = !line.querySelector(".text").textContent;
  if (message.attached) {
    const slot = line.querySelector(".bubble-file");
    slot.append(preview(message.attached));
    slot.classList.toggle("picture", Boolean(slot.querySelector("img")));
  }
  line.querySelector(".foot-state").title = phone.dataset.sending;
  sending.append(line);
  toEnd();
  return line;
}

async function say(message) {
  refuse();
  message.id = crypto.randomUUID().replaceAll("-", "");
  await deliver(message, draw(message));
}

async function deliver(message, line) {
  const { attached, ...body } = message;
  try {
    if (attached) body.upload = message.upload ??= await store(attached);
    const answer = await post(body);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    watch();
  } catch (error) {
    if (error.final) {
      line.remove();
      return refuse(error.message);
    }
    line.classList.add("is-failed");
    line.querySelector(".foot-state").textContent = phone.dataset.notSent;
    line.onclick = () => {
      line.remove();
      deliver(message, draw(message));
    };
  }
}

addEventListener("submit", (event) => {
  const form = event.target.closest("[data-says]");
  if (!form) return;
  event.preventDefault();
  const { text: words, choice_id, choice_title, choice_from, reply_to, file } = form.elements;
  const answers = [...form.querySelectorAll("[data-answer]")].map((one) => [one.dataset.answer, one.value]);
  if (answers.length) say({ form: Object.fromEntries(answers), reply_to: reply_to.value });
  else if (choice_id) {
    const choice = { id: choice_id.value, title: choice_title.value };
    say({ choice, from: choice_from.value, reply_to: reply_to.value });
    form.closest("details")?.removeAttribute("open");
  } else if (words.value.trim()) say({ text: words.value, reply_to: reply_to?.value });
  if (file) {
    form.reset();
    text.focus();
  }
});

text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  writer.requestSubmit();
});

function attach(files) {
  for (const file of files) {
    if (file.size > MAX_BYTES) refuse(phone.dataset.tooLarge);
    else say({ attached: { file }, text: "" });
  }
}

writer.elements.file.addEventListener("change", ({ target }) => {
  attach([...target.files]);
  target.value = "";
});
addEventListener("paste", ({ clipboardData }) => attach([...clipboardData.files]));

// --- Voice -------------------------------------------------------------------------------------

const record = document.getElementById("record");
const recorder = document.getElementById("recorder");
const TYPES = { "audio/ogg;codecs=opus": "ogg", "audio/webm;codecs=opus": "webm", "audio/mp4": "m4a" };
const type = Object.keys(TYPES).find((one) => globalThis.MediaRecorder?.isTypeSupported(one));
let tape;

function recording(on) {
  recorder.hidden = !on;
  writer.hidden = on;
}

async function startRecording() {
  refuse();
  let microphone;
  try {
    microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    return refuse(phone.dataset.noMicrophone);
  }
  const pieces = [];
  const began = Date.now();
  const time = recorder.querySelector("[role=timer]");
  const clock = setInterval(() => {
    const seconds = Math.floor((Date.now() - began) / 1000);
    time.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }, 250);
  time.textContent = "0:00";
  tape = new MediaRecorder(microphone, { mimeType: type });
  tape.ondataavailable = ({ data }) => pieces.push(data);
  tape.onstop = () => {
    clearInterval(clock);
    microphone.getTracks().forEach((track) => track.stop());
    recording(false);
    if (!tape.keep) return;
    const file = new File(pieces, `voice.${TYPES[type]}`, { type: type.split(";")[0] });
    say({ attached: { file, voice: true }, text: "" });
  };
  tape.start();
  recording(true);
}

if (type && navigator.mediaDevices) {
  record.hidden = false;
  record.addEventListener("click", startRecording);
  recorder.addEventListener("click", ({ target }) => {
    const act = target.closest("[data-record]")?.dataset.record;
    if (!act || tape.state === "inactive") return;
    tape.keep = act === "send";
    tape.stop();
  });
}

// --- Arriving ----------------------------------------------------------------------------------

// Until the first message is in there is no conversation to listen to, so look for it.
function watch() {
  clearInterval(poll);
  let tries = 0;
  poll = setInterval(() => {
    refresh();
    tries += 1;
    if (tries > 20 || (live && !sending.childElementCount)) clearInterval(poll);
  }, 700);
}

async function listen() {
  if (live || !screen().dataset.conversation) return;
  live = true;
  const answer = await fetch(ticket);
  if (!answer.ok) return;
  const meta = document.createElement("meta");
  meta.name = "live";
  meta.content = (await answer.json()).address;
  meta.dataset.renew = ticket;
  document.head.append(meta);
  await import(phone.dataset.live);
}

function settle() {
  const answering = document.getElementById("answering");
  answering.dataset.holder = screen().dataset.holder;
  answering.querySelector("span").textContent = screen().dataset.answering;
  for (const line of [...sending.children]) {
    if (document.querySelector(`#lines [data-client="${line.dataset.client}"]`)) line.remove();
  }
}

// What was looked at is read, as on any phone; the desk sees it.
function see() {
  if (document.visibilityState !== "visible") return;
  for (const line of document.querySelectorAll("[data-unseen]")) {
    const seen = line.dataset.unseen;
    line.removeAttribute("data-unseen");
    if (seen) post({ seen, id: `seen-${line.id}` }).catch(() => (line.dataset.unseen = seen));
  }
}

let atEnd = true;
addEventListener("htmx:beforeSwap", () => {
  atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 120;
});
addEventListener("htmx:afterSettle", () => {
  settle();
  if (atEnd) toEnd();
  see();
  listen();
});
document.addEventListener("visibilitychange", see);
// An opened list unfolds towards the writing line: keep it in sight.
scroll.addEventListener("toggle", ({ target }) => target.scrollIntoView({ block: "nearest" }), true);
scroll.addEventListener("load", () => atEnd && toEnd(), { capture: true });

toEnd();
see();
listen();
