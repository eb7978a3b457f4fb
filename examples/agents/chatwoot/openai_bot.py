"""Answers with what a chat model says; hands over when the model says that a person is needed.

CHATWOOT_URL, CHATWOOT_ACCOUNT, BOT_TOKEN, BOT_SECRET, BOT_PORT as in bot.mjs;
OPENAI_BASE_URL (https://api.openai.com/v1, or stand_ins.py), OPENAI_API_KEY, OPENAI_MODEL.
"""

import hashlib
import hmac
import json
import os
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PERSON = "PERSON NEEDED"
SYSTEM = (
    "You are a helpful customer support assistant. Answer in two sentences at most. When you cannot help,"
    f" or the customer wants a person, answer with exactly: {PERSON}"
)
OLDEST_SECONDS = 300


def is_genuine(headers, body: bytes) -> bool:
    stamp = headers.get("X-Chatwoot-Timestamp", "0")
    signed = hmac.new(
        os.environ["BOT_SECRET"].encode(), stamp.encode() + b"." + body, hashlib.sha256
    )
    meant = f"sha256={signed.hexdigest()}"
    fresh = stamp.isdigit() and abs(time.time() - int(stamp)) <= OLDEST_SECONDS
    return fresh and hmac.compare_digest(meant, headers.get("X-Chatwoot-Signature", ""))


def post(url: str, body: dict, headers: dict) -> dict:
    request = urllib.request.Request(  # noqa: S310 - the operator's own address
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.loads(answer.read() or b"{}")


def ask_model(content: str) -> str:
    answer = post(
        f"{os.environ['OPENAI_BASE_URL']}/chat/completions",
        {
            "model": os.environ.get("OPENAI_MODEL", "gpt-4"),
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": content},
            ],
        },
        {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"},
    )
    return answer["choices"][0]["message"]["content"].strip()


def call(conversation: int, act: str, body: dict) -> None:
    account = os.environ["CHATWOOT_ACCOUNT"]
    post(
        f"{os.environ['CHATWOOT_URL']}/api/v1/accounts/{account}/conversations/{conversation}/{act}",
        body,
        {"api_access_token": os.environ["BOT_TOKEN"]},
    )


def answer_customer(data: dict) -> None:
    conversation = data["conversation"]
    if data["event"] != "message_created" or data["message"]["message_type"] != 0:
        return  # our own words come back to us, and people's come along
    if conversation["status"] != "pending":
        return  # people have it
    try:
        said = ask_model(data["message"]["content"] or "")
    except OSError as error:
        print(f"the model does not answer: {error}", flush=True)
        said = PERSON
    if said != PERSON:
        call(conversation["id"], "messages", {"content": said, "message_type": "outgoing"})
        return
    words = "Let me connect you with a colleague."
    call(conversation["id"], "messages", {"content": words, "message_type": "outgoing"})
    call(conversation["id"], "toggle_status", {"status": "open"})


class Bot(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        genuine = is_genuine(self.headers, body)
        self.send_response(200 if genuine else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.wfile.flush()
        if genuine:  # answered already; what the customer gets comes by the API
            answer_customer(json.loads(body))

    def log_message(self, *arguments):
        """Quiet."""


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("BOT_PORT", "8001"))), Bot).serve_forever()
