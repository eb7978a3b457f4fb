"""Cutting one webhook request into items: one per message, status and echo.

An item's payload is the least JSON that `reading` needs: the element, the contact it belongs to, and
which number it concerns. A bad element becomes an item with an error; its siblings go on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from conversations.channels import HookItem, UnexpectedPayloadError
from conversations.messages import Identifier
from integrations.whatsapp import identities
from integrations.wire import Fields, parse_json, unstorable_text

LONGEST_ID = 250
LONGEST_LANE = 120
ACCOUNT_LANE = "account"
UNKNOWN_LANE = "unknown"

# Arrays of `value`, the payload key of one element, and the keys that name its person.
ELEMENTS = (
    ("messages", "message", identities.SENDER_KEYS),
    ("statuses", "status", identities.STATUS_KEYS),
    ("message_echoes", "echo", identities.ECHO_KEYS),
)


def split(body: bytes) -> list[HookItem]:
    """All items of a request, in their order. Never raises for odd content."""
    try:
        envelope = Fields.of(parse_json(body))
        _check_object(envelope)
        entries = envelope.items("entry")
    except UnexpectedPayloadError as error:
        return [_broken(body, str(error))]
    items = [item for index, entry in enumerate(entries) for item in _entry_items(entry, index)]
    return items or [_broken(body, "entry should be an array with something in it")]


def _check_object(envelope: Fields) -> None:
    kind = envelope.text("object")
    if kind != "whatsapp_business_account":
        raise UnexpectedPayloadError(
            "object should be whatsapp_business_account: this webhook is for another product",
            key="object",
        )


def _entry_items(entry: Any, index: int) -> Iterator[HookItem]:
    path = f"entry[{index}]"
    try:
        changes = Fields.of(entry, path).items("changes")
    except UnexpectedPayloadError as error:
        yield _broken(_dump(entry), str(error))
        return
    for number, change in enumerate(changes):
        try:
            fields = Fields.of(change, f"{path}.changes[{number}]")
            yield from _change_items(fields)
        except UnexpectedPayloadError as error:
            yield _broken(_dump(change), str(error))


def _change_items(change: Fields) -> list[HookItem]:
    value = change.fields("value")
    frame: dict[str, Any] = {
        "field": change.text("field"),
        "metadata": dict(value.maybe("metadata").values),
    }
    if value.has("errors"):
        frame["errors"] = value.items("errors")
    people = _People(value)
    items = []
    for array, name, keys in ELEMENTS:
        try:
            elements = value.items(array)
        except UnexpectedPayloadError as error:
            items.append(_broken(_dump({**frame, array: value.values[array]}), str(error)))
            continue
        cut = _Cut(frame, name, keys, people, alone=len(elements) == 1)
        items += [
            cut.item(element, f"{value.at(array)}[{index}]")
            for index, element in enumerate(elements)
        ]
    return items or [_account_event(frame, value)]


def _account_event(frame: dict[str, Any], value: Fields) -> HookItem:
    """A change that holds no messages: about templates, the account, or only errors."""
    payload = _dump({**frame, "value": dict(value.values)})
    problem = unstorable_text([frame, value.values])
    return HookItem(f"h:{_digest(payload)}", ACCOUNT_LANE, payload, error=problem, weak_key=True)


class _People:
    """The contacts of one change, found by name and never by position. Bad ones are left out."""

    def __init__(self, value: Fields) -> None:
        contacts = value.values.get("contacts")
        self._all = contacts if isinstance(contacts, list) else []
        self._by_name: dict[Identifier, dict[str, Any]] = {}
        for contact in self._all:
            for identifier in _names_of(contact):
                self._by_name.setdefault(identifier, contact)

    def find(self, named: tuple[Identifier, ...]) -> dict[str, Any]:
        return next((self._by_name[name] for name in named if name in self._by_name), {})

    def only_one(self) -> dict[str, Any]:
        """The contact, when there is exactly one and it is readable."""
        return self._all[0] if len(self._all) == 1 and _names_of(self._all[0]) else {}


def _names_of(contact: Any) -> tuple[Identifier, ...]:
    try:
        return identities.of_contact(Fields.of(contact, "contacts"))
    except UnexpectedPayloadError:
        return ()


class _Cut:
    """Makes the items of one array of one change."""

    def __init__(
        self,
        frame: dict[str, Any],
        name: str,
        keys: tuple[tuple[str, str], ...],
        people: _People,
        *,
        alone: bool,
    ) -> None:
        self.frame, self.name, self.keys, self.people = frame, name, keys, people
        self.alone = alone

    def item(self, element: Any, path: str) -> HookItem:
        contact: dict[str, Any] = {}
        try:
            fields = Fields.of(element, path)
            key = KEYS[self.name](fields)
            named = identities.named(fields, self.keys)
            contact = self._contact_of(named)
            person = identities.merged(named, _names_of(contact))
            self._check(fields, person)
            problem = unstorable_text([self.frame, element, contact])
            if problem:
                raise UnexpectedPayloadError(problem, key=path)
        except UnexpectedPayloadError as error:
            payload = _dump({**self.frame, "contact": contact, self.name: element})
            return _broken(payload, str(error))
        payload = _dump({**self.frame, "contact": contact, self.name: element})
        lane = identities.lane_of(person) or UNKNOWN_LANE
        return HookItem(
            key,
            lane if len(lane) <= LONGEST_LANE else _digest(lane.encode()),
            payload,
            status=self.name == "status",
        )

    def _contact_of(self, named: tuple[Identifier, ...]) -> dict[str, Any]:
        """A message without any sender can only be told from its contact when both stand alone."""
        if not named and self.name == "message" and self.alone:
            return self.people.only_one()
        return self.people.find(named)

    def _check(self, fields: Fields, person: tuple[Identifier, ...]) -> None:
        if self.name == "message" and not person and not fields.has("group_id"):
            raise UnexpectedPayloadError(
                f"{fields.path} names no sender: from and from_user_id are both empty", key="from"
            )
        if any(len(identifier.value) > LONGEST_ID for identifier in person):
            raise UnexpectedPayloadError(f"{fields.path} has an id that is too long", key="from")


def _message_key(fields: Fields) -> str:
    return f"m:{_id_of(fields)}"


def _echo_key(fields: Fields) -> str:
    return f"e:{_id_of(fields)}"


def _status_key(fields: Fields) -> str:
    return f"s:{_id_of(fields)}:{fields.text('status')[:40]}"


KEYS: dict[str, Callable[[Fields], str]] = {
    "message": _message_key,
    "status": _status_key,
    "echo": _echo_key,
}


def _id_of(fields: Fields) -> str:
    external_id = fields.text("id")
    if not external_id or len(external_id) > LONGEST_ID:
        raise UnexpectedPayloadError(
            f"{fields.at('id')} is empty or longer than {LONGEST_ID}", key=fields.at("id")
        )
    return external_id


def _broken(payload: bytes, error: str) -> HookItem:
    return HookItem(f"h:{_digest(payload)}", UNKNOWN_LANE, payload, error=error, weak_key=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _dump(value: Any) -> bytes:
    """Compact ASCII JSON: neither NUL nor half characters stand in it, only their escapes."""
    return json.dumps(value, separators=(",", ":")).encode()
