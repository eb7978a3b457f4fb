"""The demo agent: answers for Casa Lumină, an invented shop for lamps, in English and Romanian.

No language model, only words it knows, so that it always says the same and needs no key. It shows what
an agent can do: texts, buttons, a list, labels, attributes, a hand-off with reason and summary, and
resolving. Start it with AGENT_SECRET (and AGENT_PORT, default 8001), or `--secret` and `--port`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY = 1024 * 1024
Answer = dict[str, Any]


# --- What the shop knows -------------------------------------------------------------------------

ORDERS = {
    "1024": {
        "en": "Order 1024 (floor lamp Brad, oak) is with the courier and arrives tomorrow.",
        "ro": "Comanda 1024 (lampadar Brad, stejar) este la curier și ajunge mâine.",
    },
    "1031": {
        "en": "Order 1031 (three Luna ceiling lamps) is being packed and leaves today.",
        "ro": "Comanda 1031 (trei plafoniere Luna) se împachetează și pleacă azi.",
    },
}
LAMPS = {
    "brad": {"en": "Brad floor lamp, oak: 449 lei", "ro": "Lampadar Brad, stejar: 449 lei"},
    "luna": {"en": "Luna ceiling lamp: 289 lei", "ro": "Plafonieră Luna: 289 lei"},
    "pitic": {"en": "Pitic desk lamp: 159 lei", "ro": "Veioză Pitic: 159 lei"},
}
CITIES = {
    "cluj": "Cluj", "bucharest": "Bucharest", "bucuresti": "București", "iasi": "Iași",
    "timisoara": "Timișoara", "brasov": "Brașov", "constanta": "Constanța", "sibiu": "Sibiu",
    "oradea": "Oradea", "craiova": "Craiova",
}  # fmt: skip

SAYS = {
    "hello": {
        "en": "Hello, I am Lumi, the assistant of Casa Lumină. What can I help you with?",
        "ro": "Bună, sunt Lumi, asistentul Casa Lumină. Cu ce vă pot ajuta?",
    },
    "shipping": {
        "en": "Yes, we ship to {city}: 1 to 2 working days, 19 lei, free from 300 lei.",
        "ro": "Da, livrăm în {city}: 1–2 zile lucrătoare, 19 lei, gratuit de la 300 lei.",
    },
    "anywhere": {
        "en": "We ship everywhere in Romania: 1 to 2 working days, 19 lei, free from 300 lei.",
        "ro": "Livrăm oriunde în România: 1–2 zile lucrătoare, 19 lei, gratuit de la 300 lei.",
    },
    "prices": {
        "en": "Our lamps cost from 159 to 449 lei. Which one would you like to know about?",
        "ro": "Lămpile noastre costă între 159 și 449 lei. Despre care doriți să aflați?",
    },
    "returns": {
        "en": "You can send a lamp back within 30 days, unused and in its box; the way back is free.",
        "ro": "Puteți returna o lampă în 30 de zile, nefolosită și în cutie; returul este gratuit.",
    },
    "hours": {
        "en": "The shop on Strada Felinarului 7 is open Monday to Friday 9–18, Saturday 10–14.",
        "ro": "Magazinul din Strada Felinarului 7 este deschis luni–vineri 9–18, sâmbătă 10–14.",
    },
    "payment": {
        "en": "You can pay by card, by bank transfer, or in cash to the courier.",
        "ro": "Puteți plăti cu cardul, prin transfer bancar sau ramburs la curier.",
    },
    "warranty": {
        "en": "Every lamp has a warranty of three years; keep the invoice.",
        "ro": "Fiecare lampă are garanție trei ani; păstrați factura.",
    },
    "which order": {
        "en": "Which order do you mean? You can also write its number.",
        "ro": "La ce comandă vă referiți? Puteți scrie și numărul ei.",
    },
    "no order": {
        "en": "I find no order {number}. Please check the number on your invoice.",
        "ro": "Nu găsesc comanda {number}. Verificați numărul de pe factură.",
    },
    "person": {
        "en": "Of course, I am asking a colleague to take over.",
        "ro": "Desigur, rog un coleg să preia conversația.",
    },
    "sorry": {
        "en": "I am sorry about that. A colleague will look after it.",
        "ro": "Îmi pare rău. Un coleg se va ocupa de asta.",
    },
    "thanks": {
        "en": "You are welcome. Is there anything else?",
        "ro": "Cu plăcere. Mai pot ajuta cu ceva?",
    },
    "bye": {
        "en": "You are welcome. Have a bright day.",
        "ro": "Cu plăcere. O zi luminoasă.",
    },
    "menu": {
        "en": "I did not understand that. I know about these things:",
        "ro": "Nu am înțeles. Despre acestea știu:",
    },
    "no pictures": {
        "en": "I cannot look at files. Describe it in words, or ask for a colleague.",
        "ro": "Nu pot vedea fișiere. Descrieți în cuvinte sau cereți un coleg.",
    },
}
TITLES = {
    "shipping": {"en": "Delivery", "ro": "Livrare"},
    "prices": {"en": "Prices", "ro": "Prețuri"},
    "order": {"en": "My order", "ro": "Comanda mea"},
    "returns": {"en": "Returns", "ro": "Retururi"},
    "hours": {"en": "Opening hours", "ro": "Program"},
    "person": {"en": "A colleague", "ro": "Un coleg"},
    "choose": {"en": "Choose", "ro": "Alege"},
    "topics": {"en": "Topics", "ro": "Subiecte"},
}

# Words, without accents, that lead to a topic; the first topic with the most of them is meant.
TOPICS = {
    "person": "human, person, operator, colleague, real agent, cu un om, persoana reala, coleg, "
    "cu cineva, agent uman",
    "complaint": "broken, damaged, complaint, angry, terrible, refund, cracked, defect, defecta, "
    "sparta, spart, stricata, stricat, reclamatie, nemultumit, nemultumita, banii inapoi",
    "bye": "bye, goodbye, thanks bye, that is all, la revedere, pa, asta e tot, atat, o zi buna",
    "returns": "return, returns, send back, send it back, retur, returnez, returna, inapoi",
    "order": "my order, order status, where is my, tracking, order, comanda mea, comanda, "
    "unde este, unde e, cand ajunge, colet, coletul",
    "shipping": "ship, shipping, deliver, delivery, courier, livrati, livrare, livreaza, curier, "
    "transport, trimiteti",
    "hours": "open, opening, hours, close, address, where are you, program, orar, deschis, "
    "inchideti, adresa, unde sunteti",
    "payment": "pay, payment, cash, transfer, plata, platesc, platiti, ramburs, numerar",
    "warranty": "warranty, guarantee, garantie",
    "prices": "price, prices, cost, costs, how much, lamps, catalogue, pret, pretul, preturi, "
    "cat costa, cost, costa, lampi, catalog",
    "thanks": "thanks, thank you, multumesc, mersi",
    "hello": "hello, hi, hey, good morning, good evening, buna, salut, buna ziua, buna seara",
}
SPEAKS = {
    "ro": "si sa nu este sunt cu pentru va vreau buna ziua cat costa livrati in unde la imi mea "
    "comanda multumesc salut pret aveti puteti cum ce cand un o lampa lampi pa revedere retur "
    "program garantie plata mersi doresc vorbesc",
    "en": "the and is are do you to my what how much where when hello hi thanks thank bye please "
    "want a an ship order price return open hours lamp lamps can i for it not of have does",
}


def fold(text: str) -> str:
    """Lower case, no accents, words apart by one blank."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return f" {' '.join(re.findall(r'[a-z0-9]+', letters))} "


def language_of(text: str, otherwise: str) -> str:
    """`en` or `ro`, by the words and by letters that only Romanian has."""
    if re.search(r"[ăâîșțşţ]", text.casefold()):
        return "ro"
    words = set(fold(text).split())
    scores = {name: len(words & set(known.split())) for name, known in SPEAKS.items()}
    if scores["ro"] == scores["en"]:
        return otherwise
    return max(scores, key=lambda name: scores[name])


def topic_of(text: str) -> str:
    """The topic a text is about, or "" when no word is known."""
    said = fold(text)
    scores = {
        topic: sum(f" {fold(words).strip()} " in said for words in known.split(","))
        for topic, known in TOPICS.items()
    }
    for urgent in ("person", "complaint"):
        if scores[urgent]:
            return urgent
    best = max(scores, key=lambda topic: scores[topic])
    return best if scores[best] else ""


# --- The agent -----------------------------------------------------------------------------------


@dataclass
class Memory:
    """What the agent keeps of one conversation."""

    language: str = ""
    misses: int = 0
    asked: list[str] = field(default_factory=list)


# After these it has nothing more to do with a conversation; `contact.erased` asks it to forget.
FAREWELLS = ("conversation.unassigned", "conversation.resolved", "contact.erased")


class Lumi:
    """Events in, answers out; no network in here."""

    MEMORIES = 5000

    def __init__(self) -> None:
        self._memories: OrderedDict[str, Memory] = OrderedDict()
        self._lock = Lock()

    def answer(self, event: Answer) -> Answer:
        """What to do about an event; nothing about most."""
        if event["type"] in FAREWELLS:
            with self._lock:
                self._memories.pop(event["conversation"]["id"], None)
        if event["type"] != "message.created":
            return {}
        message = event["message"]
        memory = self._memory(event)
        choice = message["content"].get("choice", {}).get("id", "")
        if not choice:
            memory.language = language_of(message["text"], memory.language)
        if message["attachments"] and not message["text"].strip():
            return self._say("no pictures", memory)
        memory.asked = [*memory.asked[-4:], message["text"]]
        topic = choice.partition(":")[0] or topic_of(message["text"])
        memory.misses = 0 if topic else memory.misses + 1
        return self._about(topic, choice, message["text"], memory)

    def _memory(self, event: Answer) -> Memory:
        key = event["conversation"]["id"]
        spoken = event["conversation"]["language"] or event["contact"]["language"] or "en"
        with self._lock:
            memory = self._memories.setdefault(key, Memory("ro" if spoken == "ro" else "en"))
            self._memories.move_to_end(key)
            while len(self._memories) > self.MEMORIES:
                self._memories.popitem(last=False)
        return memory

    def _about(self, topic: str, choice: str, text: str, memory: Memory) -> Answer:
        match topic:
            case "person":
                return self._hand_off("person", "the customer asks for a person", memory)
            case "complaint":
                answer = self._hand_off("sorry", "a complaint", memory)
                answer["actions"].insert(0, {"type": "label", "names": ["complaint"]})
                return answer
            case "bye":
                return self._say("bye", memory) | {
                    "actions": [{"type": "resolve", "reason": "the customer said good-bye"}]
                }
            case "order":
                return self._order(choice or text, memory)
            case "shipping":
                return self._shipping(text, memory)
            case "prices":
                return self._prices(memory)
            case "lamp":
                lamp = LAMPS.get(choice.partition(":")[2], {})
                return {"reply": lamp[memory.language]} if lamp else self._prices(memory)
            case "hello":
                return self._menu("hello", memory)
            case "" if memory.misses >= 2:
                return self._hand_off("person", "I did not understand twice in a row", memory)
            case "":
                return self._menu("menu", memory)
        return self._say(topic, memory) if topic in SAYS else self._menu("menu", memory)

    def _say(self, what: str, memory: Memory, **values: str) -> Answer:
        return {"reply": SAYS[what][memory.language].format(**values)}

    def _hand_off(self, words: str, reason: str, memory: Memory) -> Answer:
        asked = "; ".join(f"“{text[:200]}”" for text in memory.asked if text)
        spoken = {"en": "English", "ro": "Romanian"}[memory.language]
        summary = f"Speaks {spoken}. Wrote: {asked}"
        act = {"type": "hand_off", "reason": reason, "summary": summary}
        return self._say(words, memory) | {"actions": [act]}

    def _shipping(self, text: str, memory: Memory) -> Answer:
        city = next((name for key, name in CITIES.items() if f" {key} " in fold(text)), "")
        return self._say("shipping", memory, city=city) if city else self._say("anywhere", memory)

    def _order(self, text: str, memory: Memory) -> Answer:
        number = next(iter(re.findall(r"\d{3,}", text)), "")
        if number in ORDERS:
            remember = {"type": "attribute", "on": "conversation", "values": {"order": number}}
            return {"reply": ORDERS[number][memory.language], "actions": [remember]}
        if number:
            return self._say("no order", memory, number=number)
        buttons = [{"id": f"order:{known}", "title": f"# {known}"} for known in ORDERS]
        person = {"id": "person", "title": TITLES["person"][memory.language]}
        question = SAYS["which order"][memory.language]
        return {"messages": [{"kind": "buttons", "text": question, "buttons": [*buttons, person]}]}

    def _prices(self, memory: Memory) -> Answer:
        buttons = [{"id": f"lamp:{key}", "title": key.title()} for key in LAMPS]
        text = SAYS["prices"][memory.language]
        return {"messages": [{"kind": "buttons", "text": text, "buttons": buttons}]}

    def _menu(self, words: str, memory: Memory) -> Answer:
        language = memory.language
        rows = [
            {"id": topic, "title": TITLES[topic][language]}
            for topic in ("shipping", "prices", "order", "returns", "hours", "person")
        ]
        return {
            "messages": [
                {
                    "kind": "list",
                    "text": SAYS[words][language],
                    "button": TITLES["choose"][language],
                    "sections": [{"title": TITLES["topics"][language], "rows": rows}],
                }
            ]
        }


# --- The server ----------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Verifies, answers, and says at GET / that it lives."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    webhook: Webhook
    agent: Lumi

    def do_GET(self) -> None:
        self._send(200, {"agent": "Lumi", "shop": "Casa Lumină", "ok": True})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            return self._send(413 if length.isdecimal() else 411, {})
        body = self.rfile.read(int(length))
        try:
            event = self.webhook.verify(body, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError):
            return self._send(401, {})
        answer = self.agent.answer(event)
        print(f"{event['type']} {event['conversation']['id']} -> {', '.join(answer) or 'nothing'}")
        return self._send(200, answer)

    def _send(self, status: int, answer: Answer) -> None:
        body = json.dumps(answer, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """One line per event is enough, and `do_POST` prints it."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default=os.environ.get("AGENT_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("AGENT_PORT", "8001")))
    parser.add_argument("--secret", default=os.environ.get("AGENT_SECRET", ""))
    given = parser.parse_args()
    if not given.secret:
        sys.exit("Give the agent's signing secret as AGENT_SECRET or --secret (whsec_…).")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    Handler.webhook, Handler.agent = Webhook(given.secret), Lumi()
    server = Server((given.host, given.port), Handler)
    print(f"The demo agent listens on http://{given.host}:{server.server_port}/")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("Stopped.")


if __name__ == "__main__":
    main()
