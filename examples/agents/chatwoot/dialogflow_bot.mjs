// Answers with what Dialogflow makes of the customer's words; hands over when it does not understand, or
// when the customer wants a person.
//
//   DIALOGFLOW_URL  its REST API (https://dialogflow.googleapis.com, or stand_ins.py)
//   PROJECT_ID, DIALOGFLOW_TOKEN

import { handOff, listen, sendBotMessage } from "./bot.mjs";

const { DIALOGFLOW_URL, PROJECT_ID = "shop", DIALOGFLOW_TOKEN = "" } = process.env;
const TO_PEOPLE = new Set(["Default Fallback Intent", "talk.to.person"]);

async function detectIntent(session, text) {
  const path = `/v2/projects/${PROJECT_ID}/agent/sessions/${session}:detectIntent`;
  const answer = await fetch(DIALOGFLOW_URL + path, {
    method: "POST",
    headers: { Authorization: `Bearer ${DIALOGFLOW_TOKEN}`, "Content-Type": "application/json" },
    body: JSON.stringify({ queryInput: { text: { text, languageCode: "en-US" } } }),
  });
  if (!answer.ok) throw new Error(`Dialogflow: ${answer.status}`);
  return (await answer.json()).queryResult;
}

listen(async (text, conversation) => {
  const { fulfillmentText, intent } = await detectIntent(conversation, text);
  await sendBotMessage(conversation, fulfillmentText);
  if (TO_PEOPLE.has(intent.displayName)) await handOff(conversation);
});
