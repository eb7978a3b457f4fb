// Gives conversations to the team whose words the customer uses.
//
//   BILLING_TEAM, TECHNICAL_TEAM  the teams' numbers

import { assignToTeam, handOff, listen, sendBotMessage } from "./bot.mjs";

const { BILLING_TEAM, TECHNICAL_TEAM } = process.env;
const ROUTES = [
  { words: ["billing", "payment", "invoice"], team: BILLING_TEAM, name: "billing" },
  { words: ["technical", "bug", "broken"], team: TECHNICAL_TEAM, name: "technical support" },
];

listen(async (text, conversation) => {
  const said = text.toLowerCase();
  const route = ROUTES.find(({ words }) => words.some((word) => said.includes(word)));
  if (!route) {
    const question = "How can I help you today? You can ask about billing or technical issues.";
    await sendBotMessage(conversation, question);
    return;
  }
  // First the word, then the team: who gives a conversation away may speak in it no more.
  await sendBotMessage(conversation, `I am connecting you with our ${route.name} team.`);
  await assignToTeam(conversation, route.team);
  await handOff(conversation);
});
