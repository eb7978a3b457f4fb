// What every Chatwoot bot does: take webhooks, prove where they come from, call the API back.
//
//   CHATWOOT_URL      where the API is, e.g. http://127.0.0.1:8000
//   CHATWOOT_ACCOUNT  the account's number
//   BOT_TOKEN         the bot's access token
//   BOT_SECRET        what its webhooks are signed with
//   BOT_PORT          where this bot listens

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const { CHATWOOT_URL, CHATWOOT_ACCOUNT, BOT_TOKEN, BOT_SECRET, BOT_PORT = "8001" } = process.env;
const OLDEST_SECONDS = 300;

function isGenuine(request, body) {
  const stamp = request.headers["x-chatwoot-timestamp"] ?? "";
  const said = Buffer.from(request.headers["x-chatwoot-signature"] ?? "");
  const mac = createHmac("sha256", BOT_SECRET).update(`${stamp}.`).update(body).digest("hex");
  const meant = Buffer.from(`sha256=${mac}`);
  const fresh = Math.abs(Date.now() / 1000 - Number(stamp)) <= OLDEST_SECONDS;
  return fresh && said.length === meant.length && timingSafeEqual(said, meant);
}

async function call(conversation, act, body) {
  const path = `/api/v1/accounts/${CHATWOOT_ACCOUNT}/conversations/${conversation}/${act}`;
  const answer = await fetch(CHATWOOT_URL + path, {
    method: "POST",
    headers: { api_access_token: BOT_TOKEN, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${act}: ${answer.status} ${await answer.text()}`);
}

export const sendBotMessage = (conversation, content) =>
  call(conversation, "messages", { content, message_type: "outgoing" });

export const assignToTeam = (conversation, team) =>
  call(conversation, "assignments", { team_id: Number(team) });

// In Chatwoot, opening a pending conversation is the hand-off to people.
export const handOff = (conversation) =>
  call(conversation, "toggle_status", { status: "open" });

// Whether a customer speaks and the bot has the conversation: its own words come back to it, too, and it
// goes on hearing of conversations that people have taken over.
const isMine = ({ event, message, conversation }) =>
  event === "message_created" && message.message_type === 0 && conversation.status === "pending";

export function listen(answer) {
  createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (!isGenuine(request, body)) {
      response.writeHead(401).end();
      return;
    }
    response.writeHead(200).end("OK"); // at once; the answer comes by the API
    const payload = JSON.parse(body);
    if (!isMine(payload)) return;
    try {
      await answer(payload.message.content ?? "", payload.conversation.id);
    } catch (error) {
      console.error(error.message);
      await handOff(payload.conversation.id).catch((lost) => console.error(lost.message));
    }
  }).listen(Number(BOT_PORT), "127.0.0.1");
}
