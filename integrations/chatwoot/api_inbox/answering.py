"""What a customer answers to a message that offers or asks: their `submitted_values`, as our reply.

With theirs the values are written on the message, and nothing is said. Here it is something that the
customer said, as on every channel; the message that it answers keeps the values, too.
"""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext as _

from conversations.content import offered_choices
from conversations.messages import FieldType, Kind
from conversations.models import Message
from conversations.services.answering import ASKING, LONGEST_ANSWER, OFFERING, value_in
from integrations.chatwoot.api_inbox.saying import Saying
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import missing, unprocessable
from integrations.chatwoot.signing import uuid_of

MOST_VALUES = 50
Values = list[dict[str, Any]]


def answer_to(message: Message, given: Params, *, contact: str) -> Saying:
    """What the customer says by it. Raises `ChatwootError` (422)."""
    if message.kind not in (*OFFERING, *ASKING) or message.deleted_at is not None:
        raise unprocessable(_("This message asks for nothing."))
    values = _values(given)
    # Sent again, the same answer is the same message.
    name = uuid_of(f"{message.public_id}:{json.dumps(values, sort_keys=True)}")
    return Saying(contact=contact, id=name, answers=message.external_id, **_answer(message, values))


def _answer(message: Message, values: Values) -> dict[str, Any]:
    if message.kind in OFFERING:
        return _chosen(message, values[0])
    if message.kind == Kind.FORM:
        return _filled_in(message, values)
    return _given(message, values[0])


def _values(given: Params) -> Values:
    """`submitted_values`, or the `submitted_email` of their widget."""
    if email := params.text(given, "submitted_email").strip():
        return [{"value": email}]
    values = given.get("submitted_values")
    if not values:
        raise missing("submitted_values")
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise unprocessable("submitted_values should be a list of objects")
    if len(values) > MOST_VALUES:
        raise unprocessable(_("A list has at most %(most)d items.") % {"most": MOST_VALUES})
    return [
        {
            name: params.text(one, name, most=LONGEST_ANSWER)
            for name in ("name", "title", "value")
            if one.get(name) is not None
        }
        for one in values
    ]


def _chosen(message: Message, value: dict[str, Any]) -> dict[str, Any]:
    """One of what was offered, by its value or its title."""
    for choice in offered_choices(message.content):
        if choice.id == value.get("value") or choice.title == value.get("title"):
            kind = Kind.LIST_REPLY if message.kind == Kind.LIST else Kind.BUTTON_REPLY
            picked = {"id": choice.id, "title": choice.title}
            return {"kind": kind, "text": choice.title, "choice": picked}
    raise unprocessable(_("This was not offered."))


def _filled_in(message: Message, values: Values) -> dict[str, Any]:
    names = {field["name"] for field in message.content.get("fields", ())}
    form = {one.get("name", ""): one.get("value", "") for one in values}
    if unknown := sorted(form.keys() - names):
        raise unprocessable(_("The form has no field “%(name)s”.") % {"name": unknown[0][:60]})
    return {"kind": Kind.FORM_REPLY, "form": form}


def _given(message: Message, value: dict[str, Any]) -> dict[str, Any]:
    asked = message.content.get("input", {}).get("type", FieldType.TEXT)
    text = value.get("value", "").strip()
    if not value_in(text, asked):
        raise unprocessable(_("This is not what was asked for."))
    return {"kind": Kind.TEXT, "text": text}
