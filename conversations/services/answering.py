"""What a customer's words or taps answer: the choice they stand for, and the message that offered it.

A channel brings back a pressed button by its id. Where it cannot, the number or the title that was typed
is the choice (channels.md 10), and what follows a question is its answer. The message that offered or
asked keeps the answer as `submitted`, and `message.updated` tells who listens.

What the last message offered stands in `Conversation.options`: by its number where choices went out as
numbered lines, else under a key that nobody can type; `ASKED` is a form or a value that is waited for.
Each entry names its message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from accounts.ids import decode
from conversations.content import offered_choices
from conversations.messages import Choice, FieldType, InboundMessage, Kind, OutboundMessage
from conversations.models import Conversation, Delivery, Message
from conversations.phrasing import chosen
from conversations.services.events import Fact

# Brackets are taken off what customers type before it is compared.
ASKED = "(?)"
OFFERING = frozenset({Kind.BUTTONS, Kind.LIST, Kind.CAROUSEL})
ASKING = frozenset({Kind.FORM, Kind.INPUT})
# An address is known by its form, one word with an @ in it and a dot behind; whether it works, by mail.
EMAIL = re.compile(r"[^@<>(),;:]+@[^@<>(),;:]+\.[^@<>(),;:.]{2,}")
AROUND = ".,;:!?()<>[]\"'“”„"
LONGEST_EMAIL = 254
LONGEST_ANSWER = 4096


def keep_options(
    conversation: Conversation, message: Message, parts: Iterable[OutboundMessage]
) -> None:
    """Keep on the conversation what a message offers or asks; what offers nothing changes nothing."""
    numbers = [option for part in parts for option in part.options]
    natively = enumerate(offered_choices(message.content), start=1)
    offered = numbers or [(f"({number})", choice) for number, choice in natively]
    kept = {
        key: {"id": choice.id, "title": choice.title, "message": message.public_id}
        for key, choice in offered
    }
    if message.kind in ASKING:
        kept[ASKED] = {"id": "", "title": "", "message": message.public_id}
    if kept or message.kind in OFFERING:
        conversation.options = kept


def as_choice(conversation: Conversation, said: InboundMessage) -> InboundMessage:
    """“2” or a title is the choice it stands for; everything else is what it is."""
    if said.kind != Kind.TEXT or not conversation.options:
        return said
    choice = chosen(
        said.text,
        [
            (key, Choice(found["id"], found["title"]))
            for key, found in conversation.options.items()
            if key != ASKED
        ],
    )
    if choice is None:
        return said
    return replace(said, kind=Kind.BUTTON_REPLY, text=choice.title, choice=choice)


def still_open(options: dict[str, Any]) -> dict[str, Any]:
    """What is left of the options after the customer has said something: a value that was asked for and
    has not been given is waited for; numbers and titles count for the next message only."""
    return {ASKED: options[ASKED]} if ASKED in options else {}


def note_answers(heard: Sequence[tuple[Conversation, Message]]) -> list[Fact]:
    """Write on the messages that offered or asked what was answered; returns what is to be recorded.

    `heard` has just been stored, and its conversations are locked and still have their options. What
    answers nothing costs nothing.
    """
    wanted = [(*one, ids) for one in heard if (ids := _answered_ids(*one))]
    if not wanted:
        return []
    pks = {pk for _conversation, _said, ids in wanted for pk in ids}
    offering = Message.objects.filter(pk__among=pks, direction=Message.Direction.OUTBOUND)
    messages = offering.filter(deleted_at=None).in_bulk()
    facts = []
    for conversation, said, ids in wanted:
        for message in [messages[pk] for pk in ids if pk in messages]:
            submitted = _submitted(message, said) if _same(message, conversation) else []
            if submitted:
                message.content = {**message.content, "submitted": submitted}
                data = {"submitted": submitted, "answer": said.public_id}
                facts.append(Fact("message.updated", conversation, message, data=data))
                _close(conversation, message)
                break
    changed = {fact.message.pk: fact.message for fact in facts if fact.message}
    Message.objects.bulk_update(changed.values(), ["content"])
    return facts


def quoted(conversation: Conversation, external_id: str) -> Message | None:
    """The message that a channel names by its id, or by the id of a later part of it."""
    message = Message.objects.filter(conversation=conversation, external_id=external_id).first()
    if message is not None:
        return message
    parts = Delivery.objects.filter(
        conversation=conversation, provider_message_id=external_id, part__gt=0
    )
    part = parts.select_related("message").first()
    return part.message if part else None


def _answered_ids(conversation: Conversation, said: Message) -> list[int]:
    """Messages that it may answer, likeliest first: the quoted one, and the one whose options are open."""
    choice = said.content.get("choice")
    if said.kind not in (Kind.TEXT, Kind.FORM_REPLY) and not choice:
        return []
    found = []
    if said.reply_to is not None and said.reply_to.kind in (*OFFERING, *ASKING):
        found.append(said.reply_to.pk)
    options = conversation.options
    waiting = [options[ASKED]] if ASKED in options and not choice else []
    offered = [one for one in options.values() if choice and one["id"] == choice["id"]]
    named = [one["message"] for one in (*waiting, *offered) if "message" in one]
    return [*found, *(decode("msg", public_id) for public_id in named[:1])]


def _close(conversation: Conversation, message: Message) -> None:
    """What `message` asked is answered; a question of another message stays open."""
    if conversation.options.get(ASKED, {}).get("message") == message.public_id:
        del conversation.options[ASKED]


def _same(message: Message, conversation: Conversation) -> bool:
    return message.conversation_id == conversation.pk


def _submitted(message: Message, said: Message) -> list[dict[str, Any]]:
    """What `said` answers to `message`; empty when it does not."""
    data = message.content
    if choice := said.content.get("choice"):
        found = next((one for one in offered_choices(data) if one.id == choice["id"]), None)
        return [{"title": found.title, "value": found.id}] if found else []
    if said.kind == Kind.FORM_REPLY:
        answers = said.content.get("form") or {}
        return [
            {"name": name, "title": field.get("label") or name, "value": answers[name]}
            for field in data.get("fields", ())
            if (name := field["name"]) in answers
        ]
    asked = data.get("input")
    value = value_in(said.text, asked["type"]) if asked and said.kind == Kind.TEXT else ""
    return [{"value": value}] if value else []


def value_in(text: str, asked: str) -> str:
    """The value that a text gives to a question of this type; empty when it gives none."""
    if asked != FieldType.EMAIL:
        return text.strip()[:LONGEST_ANSWER]
    words = (word.strip(AROUND) for word in text[:LONGEST_ANSWER].split())
    return next(
        (word for word in words if len(word) <= LONGEST_EMAIL and EMAIL.fullmatch(word)), ""
    )
