"""Dialogflow and a chat model as small as they can be, to try the bots without keys and without the net.

    STAND_IN_PORT=8090 python stand_ins.py

Dialogflow: DIALOGFLOW_URL=http://127.0.0.1:8090; the model: OPENAI_BASE_URL=http://127.0.0.1:8090/v1
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = {
    "order": ("order.status", "Your order left yesterday and arrives tomorrow."),
    "open": ("opening.hours", "We are here from 9 to 18, Monday to Saturday."),
    "person": ("talk.to.person", "Of course, one moment please."),
}
FALLBACK = ("Default Fallback Intent", "I did not understand that. A colleague will help you.")


def understand(text: str) -> tuple[str, str]:
    """The intent of a text, and what is said to it."""
    return next((found for word, found in ANSWERS.items() if word in text.lower()), FALLBACK)


def detect_intent(body: dict) -> dict:
    text = body["queryInput"]["text"]["text"]
    intent, words = understand(text)
    return {
        "queryResult": {
            "queryText": text,
            "fulfillmentText": words,
            "intent": {"displayName": intent},
        }
    }


def complete(body: dict) -> dict:
    intent, words = understand(body["messages"][-1]["content"])
    needs_person = intent in (FALLBACK[0], "talk.to.person")
    content = "PERSON NEEDED" if needs_person else words
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]}


class StandIn(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = detect_intent if self.path.endswith(":detectIntent") else complete
        text = json.dumps(answer(body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        """Quiet."""


ThreadingHTTPServer(
    ("127.0.0.1", int(os.environ.get("STAND_IN_PORT", "8090"))), StandIn
).serve_forever()
