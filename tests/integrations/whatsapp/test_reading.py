"""Every fixture becomes what it promises; batches; hostile JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.channels import HookItem, UnexpectedPayloadError
from conversations.messages import Ignored, InboundMessage, StatusUpdate
from integrations.whatsapp.channel import WhatsAppChannel
from integrations.whatsapp.reading import INTERACTIVE, NUMBER_CHANGES, STATUSES, TYPES
from tests.integrations.whatsapp.samples import (
    INBOX,
    Sample,
    plain_item,
    plain_reading,
    sample,
    samples,
)

channel = WhatsAppChannel()


def split(body: bytes) -> list[HookItem]:
    return channel.split(body, INBOX)


def meaning(item: HookItem) -> dict[str, Any]:
    return {} if item.error else plain_reading(channel.read(item.payload, INBOX))


@pytest.mark.parametrize("example", samples(), ids=str)
def test_every_sample_becomes_what_it_promises(example: Sample) -> None:
    found = [plain_item(item) | meaning(item) for item in split(example.body)]
    assert found == example.becomes


@pytest.mark.parametrize("example", samples(), ids=str)
def test_every_sample_says_where_its_shape_comes_from(example: Sample) -> None:
    assert example.source["how"] in ("documented", "captured", "guessed")
    assert example.source["where"]


def test_there_is_a_sample_for_every_type_we_read() -> None:
    # `voice` is an old spelling of an audio message with voice: true.
    spoken = {"text", "reaction", *TYPES} - {"voice"}
    seen, inner, statuses, systems = set(), set(), set(), set()
    for example in samples():
        for change in changes(example.body):
            for message in change["value"].get("messages", []):
                if isinstance(message, dict):
                    seen.add(message["type"])
                    inner.add(message.get("interactive", {}).get("type"))
                    systems.add(message.get("system", {}).get("type"))
            statuses |= {status["status"] for status in change["value"].get("statuses", [])}
    assert spoken <= seen
    assert set(INTERACTIVE) <= inner
    assert set(STATUSES) <= statuses
    assert systems >= NUMBER_CHANGES


def changes(body: bytes) -> list[dict[str, Any]]:
    return [change for entry in json.loads(body)["entry"] for change in entry["changes"]]


def envelope(*values: dict[str, Any]) -> bytes:
    every = [{"field": "messages", "value": value} for value in values]
    body = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": every}]}
    return json.dumps(body).encode()


def value(**parts: Any) -> dict[str, Any]:
    metadata = {"phone_number_id": "200000000000001"}
    return {"messaging_product": "whatsapp", "metadata": metadata, **parts}


def text(number: int, **parts: Any) -> dict[str, Any]:
    return {
        "from": "40721000111",
        "id": f"wamid.T{number}",
        "timestamp": "1795000000",
        "type": "text",
        "text": {"body": "salut"},
        **parts,
    }


@pytest.mark.parametrize(
    "broken",
    [None, 7, "text", [], {}, {"id": ""}, {"id": 5}, {"id": "x" * 251}, {"id": "a\x00b"}],
    ids=repr,
)
def test_f24_one_malformed_element_of_a_hundred_costs_only_itself(broken: Any) -> None:
    messages = [text(number) for number in range(100)]
    messages[36] = {**text(36), **broken} if isinstance(broken, dict) and broken else broken
    items = split(envelope(value(messages=messages)))
    assert len(items) == 100
    assert [index for index, item in enumerate(items) if item.error] == [36]
    assert all(
        isinstance(channel.read(item.payload, INBOX), InboundMessage)
        for item in items
        if not item.error
    )


def test_a_malformed_contact_costs_no_message() -> None:
    contacts = [
        7,
        {"profile": []},
        {"wa_id": 5},
        {"wa_id": "40721000111", "profile": {"name": "Ana"}},
    ]
    items = split(envelope(value(contacts=contacts, messages=[text(1), text(2, **{"from": "49"})])))
    readings = [channel.read(item.payload, INBOX) for item in items]
    assert [getattr(reading, "contact_name", None) for reading in readings] == ["Ana", ""]


@pytest.mark.parametrize("array", ["messages", "statuses", "message_echoes"])
def test_an_array_that_is_none_costs_only_itself(array: str) -> None:
    good = {"messages": [text(1)]} if array != "messages" else {"statuses": [status("sent")]}
    items = split(envelope(value(**good, **{array: {"not": "a list"}})))
    assert sorted(bool(item.error) for item in items) == [False, True]


def status(word: str, **parts: Any) -> dict[str, Any]:
    return {"id": "wamid.OUT", "status": word, "recipient_id": "40721000111", **parts}


def test_contacts_are_matched_by_name_not_by_position() -> None:
    contacts = [
        {"wa_id": "222", "profile": {"name": "Two"}},
        {"user_id": "RO.1", "profile": {"name": "Hidden"}},
        {"wa_id": "111", "profile": {"name": "One"}},
    ]
    hidden = text(3, **{"from": "", "from_user_id": "RO.1"})
    messages = [text(1, **{"from": "111"}), text(2, **{"from": "222"}), hidden]
    items = split(envelope(value(contacts=contacts, messages=messages)))
    names = [plain_reading(channel.read(item.payload, INBOX))["contact_name"] for item in items]
    assert names == ["One", "Two", "Hidden"]


def test_a_message_without_any_sender_takes_a_contact_that_stands_alone_only() -> None:
    nameless = text(1, **{"from": ""})
    ana, bob = ({"wa_id": wa_id, "profile": {"name": wa_id}} for wa_id in ("111", "222"))
    (alone,) = split(envelope(value(contacts=[ana], messages=[nameless])))
    assert not alone.error
    assert alone.lane_key == "+111"
    (among_two,) = split(envelope(value(contacts=[ana, bob], messages=[nameless])))
    assert "names no sender" in among_two.error


def test_equal_texts_are_two_messages_and_an_equal_id_is_one() -> None:
    items = split(envelope(value(messages=[text(1), text(2), text(1)])))
    assert [item.dedupe_key for item in items] == ["m:wamid.T1", "m:wamid.T2", "m:wamid.T1"]


def test_every_status_of_a_message_has_its_own_key() -> None:
    items = split(envelope(value(statuses=[status("sent"), status("read")])))
    assert [item.dedupe_key for item in items] == ["s:wamid.OUT:sent", "s:wamid.OUT:read"]


def test_messages_and_statuses_of_one_person_share_a_lane() -> None:
    bsuid = "RO.1"
    items = split(
        envelope(
            value(
                messages=[text(1, from_user_id=bsuid)],
                statuses=[status("read", recipient_user_id=bsuid)],
                message_echoes=[{"id": "wamid.E", "to": "40721000111", "to_user_id": bsuid}],
            )
        )
    )
    assert {item.lane_key for item in items} == {bsuid}


def test_keys_and_lanes_stay_within_their_columns() -> None:
    message = text(1, **{"from": "9" * 249, "id": "w" * 250})
    (item,) = split(envelope(value(messages=[message])))
    assert not item.error
    assert len(item.dedupe_key) <= 300
    assert len(item.lane_key) <= 120


def test_unknown_fields_are_kept_in_raw_and_change_nothing() -> None:
    (item,) = split(envelope(value(messages=[text(1, novelty={"deep": [1]})], future=True)))
    reading = channel.read(item.payload, INBOX)
    assert isinstance(reading, InboundMessage)
    assert reading.text == "salut"
    assert reading.raw["novelty"] == {"deep": [1]}


def test_an_unsupported_message_is_kept_whole() -> None:
    (item,) = split(sample("unsupported").body)
    reading = channel.read(item.payload, INBOX)
    assert isinstance(reading, InboundMessage)
    assert reading.raw["unsupported"] == {"type": "poll_update"}


def test_errors_beside_a_message_are_kept_with_it() -> None:
    (item,) = split(sample("interactive_missing").body)
    reading = channel.read(item.payload, INBOX)
    assert isinstance(reading, InboundMessage)
    assert reading.raw["value_errors"][0]["code"] == 131051


def test_sx_36_the_number_of_another_inbox_is_ignored() -> None:
    (item,) = split(sample("other_number").body)
    assert channel.read(item.payload, INBOX) == Ignored("phone number of another inbox")


def test_a_failed_status_without_an_error_is_permanent() -> None:
    (item,) = split(envelope(value(statuses=[status("failed")])))
    reading = channel.read(item.payload, INBOX)
    assert isinstance(reading, StatusUpdate)
    assert reading.error_class == "permanent"


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ({"type": "text", "text": "bare"}, "item.message.text"),
        ({"type": "text", "text": {"body": 5}}, "item.message.text.body"),
        ({"type": "text", "timestamp": "soon"}, "item.message.timestamp"),
        ({"type": "text", "timestamp": "9" * 30}, "item.message.timestamp"),
        ({"type": "image", "image": {}}, "item.message.image.id"),
        ({"type": "location", "location": {"latitude": "44"}}, "item.message.location.latitude"),
        ({"type": "location", "location": {"latitude": True}}, "item.message.location.latitude"),
        ({"type": "contacts", "contacts": [5]}, "item.message.contacts[0]"),
        ({"type": "reaction", "reaction": {}}, "item.message.reaction.message_id"),
        ({"type": "revoke"}, "item.message.revoke"),
        ({"type": "edit", "edit": {}}, "item.message.edit.message"),
        ({"type": ["text"]}, "item.message.type"),
        ({"context": "wamid.X"}, "item.message.context"),
        (
            {"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {}}},
            "item.message.interactive.list_reply.id",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_surprise_names_its_key(message: dict[str, Any], key: str) -> None:
    (item,) = split(envelope(value(messages=[text(1, **message)])))
    with pytest.raises(UnexpectedPayloadError) as caught:
        channel.read(item.payload, INBOX)
    assert caught.value.key == key


HOSTILE = {
    "empty": b"",
    "garbage": b"\xff\xfe\x00garbage",
    "form": b"a=1&b=2",
    "null": b"null",
    "list": b"[]",
    "text": b'"x"',
    "depth": b"[" * 100_000,
    "depth closed": b'{"entry":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "duplicate keys": b'{"object":"whatsapp_business_account","entry":[],"entry":[]}',
    "NaN": b'{"object":"whatsapp_business_account","entry":[NaN]}',
    "Infinity": b'{"object":"whatsapp_business_account","entry":[-Infinity]}',
    "endless number": b'{"object":"whatsapp_business_account","entry":[1e999]}',
    "endless integer": b'{"object":"whatsapp_business_account","entry":[' + b"9" * 5000 + b"]}",
    "no object": b'{"entry":[]}',
    "other product": b'{"object":"page","entry":[]}',
    "no entry": b'{"object":"whatsapp_business_account"}',
    "entry object": b'{"object":"whatsapp_business_account","entry":{}}',
    "trailing": b'{"object":"whatsapp_business_account"} {}',
    "utf-16": '{"object":"\ud83d\ude00"}'.encode("utf-16", "surrogatepass"),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_sx_40_an_unreadable_body_is_one_failed_item_with_the_bytes_kept(body: bytes) -> None:
    (item,) = split(body)
    assert item.error
    assert item.payload == body
    assert item.weak_key


@pytest.mark.parametrize("entry", [7, None, {"changes": 5}, {"changes": [7]}, {"changes": [{}]}])
def test_sx_40_odd_entries_and_changes_leave_their_siblings_alone(entry: Any) -> None:
    body = json.loads(envelope(value(messages=[text(1)])))
    body["entry"].insert(0, entry)
    items = split(json.dumps(body).encode())
    assert [bool(item.error) for item in items] == [True, False]


@pytest.mark.parametrize("nasty", ["a\x00b", "half \ud800 character"], ids=["NUL", "surrogate"])
@pytest.mark.parametrize("place", ["text", "name", "from", "id", "context"])
def test_sx_40_text_that_cannot_be_stored_fails_alone_and_escaped(nasty: str, place: str) -> None:
    replaced: dict[str, dict[str, Any]] = {
        "text": {"text": {"body": nasty}},
        "name": {},
        "from": {"from": nasty},
        "id": {"id": nasty},
        "context": {"context": {"id": nasty}},
    }
    name = nasty if place == "name" else "Ana"
    contacts = [{"wa_id": "40721000111", "profile": {"name": name}}]
    messages = [text(1, **replaced[place]), text(2, **{"from": "49"})]
    items = split(envelope(value(contacts=contacts, messages=messages)))
    assert [bool(item.error) for item in items] == [True, False]
    assert b"\x00" not in items[0].payload
    items[0].payload.decode("ascii")
    with pytest.raises(UnexpectedPayloadError):
        channel.read(items[0].payload, INBOX)
    assert "\x00" not in items[0].dedupe_key + items[0].lane_key + items[0].error


def test_sx_53_markup_in_names_and_texts_stays_what_it_is() -> None:
    nasty = "<script>alert(1)</script>\u202e{{7*7}}"
    contacts = [{"wa_id": "40721000111", "profile": {"name": nasty}}]
    (item,) = split(envelope(value(contacts=contacts, messages=[text(1, text={"body": nasty})])))
    reading = channel.read(item.payload, INBOX)
    assert isinstance(reading, InboundMessage)
    assert (reading.text, reading.contact_name) == (nasty, nasty)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    return [path, *(place for key, inner in pairs for place in places(inner, (*path, key)))]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_sample_with_anything_anywhere_breaks_the_reader(data: st.DataObject) -> None:
    """Whatever stands in whichever place: items come out, and reading says what is wrong with it."""
    example = data.draw(st.sampled_from(samples()))
    body = json.loads(example.body)
    *way, last = data.draw(st.sampled_from(places(body)[1:]))
    inner = body
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(ANY_JSON)
    items = split(json.dumps(body).encode())
    assert items
    for item in items:
        assert len(item.dedupe_key) <= 300
        assert len(item.lane_key) <= 120
        if not item.error:
            try:
                channel.read(item.payload, INBOX)
            except UnexpectedPayloadError as error:
                assert error.key  # noqa: PT017 - either outcome is right, any other exception is not
