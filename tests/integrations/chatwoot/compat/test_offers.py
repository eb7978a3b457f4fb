"""Cards, forms, articles and asked values (contract, 4.2): as sent, as shown, and when answered."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Choice, Kind
from conversations.models import Conversation, Message
from tests.factories import said
from tests.integrations.chatwoot.compat import contract
from tests.integrations.chatwoot.compat.test_bots_calls import to

CARDS: list[dict[str, Any]] = [
    {
        "title": "Desk lamp",
        "description": "Warm light",
        "media_url": "https://93.184.216.34/lamp.png",
        "actions": [
            {"text": "Look", "type": "link", "uri": "https://shop.example/lamp"},
            {"text": "Buy", "type": "postback", "payload": "buy-lamp"},
        ],
    },
    {"title": "Chair", "actions": [{"text": "Buy", "type": "postback", "payload": "buy-chair"}]},
]
FORM: list[dict[str, Any]] = [
    {
        "name": "email", "label": "E-mail", "type": "email", "placeholder": "you@example.com",
        "default": "a@example.com", "required": True, "pattern": ".+@.+",
        "pattern_error": "No address",
    },
    {
        "name": "size", "label": "Size", "type": "select",
        "options": [{"label": "Large", "value": "L"}, {"label": "Small", "value": "S"}],
    },
]  # fmt: skip
ARTICLES = [
    {"title": "Returns", "description": "In 14 days", "link": "https://shop.example/returns"},
    {"title": "Sizes", "link": "https://shop.example/sizes"},
]
OPTIONS = [{"title": "Billing", "value": "billing"}, {"title": "Delivery", "value": "delivery"}]


def ask(content_type: str, items: Any = None, **fields: Any) -> dict[str, Any]:
    attributes = {} if items is None else {"items": items}
    return {
        "content": "Please", "content_type": content_type, "content_attributes": attributes,
        **fields,
    }  # fmt: skip


def hear(woot: SimpleNamespace, **fields: Any) -> None:
    """The customer answers."""
    with account_context(woot.house.account):
        services.receive(woot.house.inbox, said(**fields))


@pytest.mark.parametrize(
    ("content_type", "items", "kind"),
    [
        ("cards", CARDS, Kind.CAROUSEL),
        ("form", FORM, Kind.FORM),
        ("article", ARTICLES, Kind.ARTICLES),
        ("input_select", OPTIONS, Kind.BUTTONS),
        ("input_text", None, Kind.INPUT),
        ("input_textarea", None, Kind.INPUT),
        ("input_email", None, Kind.INPUT),
    ],
)
def test_what_is_offered_or_asked_is_shown_as_it_was_sent(
    woot: SimpleNamespace, held: Conversation, content_type: str, items: Any, kind: Kind
) -> None:
    response = woot.bot.post(to(held), ask(content_type, items))
    assert response.status_code == 200, response.content
    body = response.json()
    contract.check(body, contract.MESSAGE)
    assert body["content_type"] == content_type
    assert body["content_attributes"] == ({"items": items} if items else {})
    listed = woot.owner.get(to(held)).json()["payload"][-1]
    assert listed["content_attributes"] == body["content_attributes"]
    [nested] = woot.owner.get(f"conversations/{held.number}").json()["messages"]
    assert nested["content_type"] == content_type
    with account_context(woot.house.account):
        assert Message.objects.get(pk=body["id"]).kind == kind


def test_offers_need_no_words_and_questions_do(woot: SimpleNamespace, held: Conversation) -> None:
    for content_type, items in (("cards", CARDS), ("form", FORM), ("article", ARTICLES)):
        sent = woot.bot.post(to(held), ask(content_type, items, content=None))
        assert (sent.status_code, sent.json()["content"]) == (200, None)
    for content_type, needed in (("input_select", OPTIONS), ("input_email", None)):
        sent = woot.bot.post(to(held), ask(content_type, needed, content=" "))
        assert sent.status_code == 422


def test_an_authors_own_keys_stand_beside_the_items(
    woot: SimpleNamespace, held: Conversation
) -> None:
    sent = ask("article", ARTICLES)
    sent["content_attributes"] |= {
        "flow": "help",
        "submitted_values": ["not", "theirs", "to", "say"],
    }
    shown = woot.bot.post(to(held), sent).json()["content_attributes"]
    assert shown == {"items": ARTICLES, "flow": "help"}


def test_options_may_be_plain_words_and_a_title_says_what_a_pattern_wants(
    woot: SimpleNamespace, held: Conversation
) -> None:
    items = [
        {"name": "size", "type": "select", "options": ["L", "S"]},
        {"name": "code", "pattern": "[0-9]+", "title": "Digits only"},
    ]
    shown = woot.bot.post(to(held), ask("form", items)).json()["content_attributes"]["items"]
    assert shown[0]["options"] == [{"label": "L", "value": "L"}, {"label": "S", "value": "S"}]
    assert shown[1]["pattern_error"] == "Digits only"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("required", True), ("true", True), (True, True), (1, True), ("false", False), (0, False), ("", False)],
)  # fmt: skip
def test_required_may_be_said_in_words(
    woot: SimpleNamespace, held: Conversation, sent: Any, shown: bool
) -> None:
    """As in their own samples: `"required": "required"`."""
    items = [{"name": "email", "type": "email", "label": "E-mail", "required": sent}]
    response = woot.bot.post(to(held), ask("form", items))
    assert response.status_code == 200, response.content
    [field] = response.json()["content_attributes"]["items"]
    assert bool(field.get("required")) is shown


AT_LEAST_ONE = "Content attributes At least one item is required."


@pytest.mark.parametrize(
    ("content_type", "items", "error"),
    [
        ("cards", None, AT_LEAST_ONE),
        ("form", [], AT_LEAST_ONE),
        ("article", "x", AT_LEAST_ONE),
        ("form", ["x"], "should be a hash"),
        ("cards", [{**CARDS[0], "price": 3}], "invalid keys for items : ['price']"),
        ("form", [{**FORM[0], "value": 3}], "invalid keys for items : ['value']"),
        ("article", [{"title": "a", "uri": "b"}], "invalid keys for items : ['uri']"),
        ("cards", [{"title": "Lamp"}], "contains items missing actions"),
        ("cards", [{"title": "Lamp", "actions": [3]}], "should be a hash"),
        (
            "cards",
            [{"title": "Lamp", "actions": [{"text": "a", "type": "link", "url": "b"}]}],
            "invalid keys for actions : ['url']",
        ),
        ("cards", [{"actions": CARDS[1]["actions"]}], "title: "),
        ("cards", [{**CARDS[1], "media_url": "ftp://a.example/b"}], "media_url: "),
        ("cards", [{"title": "a", "actions": [{"text": "a", "type": "call"}]}], "type: "),
        (
            "cards",
            [{"title": "a", "actions": [{"text": "a", "type": "link", "uri": "javascript:x"}]}],
            "uri: ",
        ),
        ("cards", [{"title": "a", "actions": [{"text": "a", "type": "postback"}]}], "payload: "),
        ("cards", CARDS * 6, "at most 10"),
        ("form", [FORM[0], FORM[0]], "a name of its own"),
        ("form", [{"label": "x"}], "name: "),
        ("form", [{"name": "x", "type": "select"}], "options: "),
        ("form", [{"name": "x", "type": "date"}], "type: "),
        ("article", [{"title": "x"}], "link: "),
    ],
    ids=str,
)
def test_items_that_cannot_be(
    woot: SimpleNamespace, held: Conversation, content_type: str, items: Any, error: str
) -> None:
    response = woot.bot.post(to(held), ask(content_type, items))
    assert response.status_code == 422
    assert error in response.json()["error"]
    with account_context(woot.house.account):
        assert not Message.objects.filter(conversation=held, direction="outbound").exists()


@pytest.mark.parametrize("content_type", ["incoming_email", "input_csat", "voice_call"])
def test_types_that_nobody_can_send(
    woot: SimpleNamespace, held: Conversation, content_type: str
) -> None:
    assert woot.bot.post(to(held), ask(content_type)).status_code == 422


@pytest.mark.parametrize(
    ("sent", "answer", "submitted"),
    [
        (
            ask("cards", CARDS),
            {"kind": Kind.BUTTON_REPLY, "choice": Choice("buy-chair", "Buy")},
            {"submitted_values": [{"title": "Buy", "value": "buy-chair"}]},
        ),
        (
            ask("input_select", OPTIONS),
            {"kind": Kind.BUTTON_REPLY, "choice": Choice("delivery", "Delivery")},
            {"submitted_values": [{"title": "Delivery", "value": "delivery"}]},
        ),
        (
            ask("form", FORM),
            {"kind": Kind.FORM_REPLY, "form": {"email": "b@example.com", "size": "S"}},
            {
                "submitted_values": [
                    {"name": "email", "title": "E-mail", "value": "b@example.com"},
                    {"name": "size", "title": "Size", "value": "S"},
                ]
            },
        ),
        (
            ask("input_email"),
            {"text": "It is b@example.com."},
            {"submitted_email": "b@example.com"},
        ),
        (ask("input_text"), {"text": "Petra"}, {"submitted_values": [{"value": "Petra"}]}),
    ],
    ids=lambda value: value.get("content_type", "") if isinstance(value, dict) else "",
)
def test_the_message_that_asked_keeps_what_was_answered(
    woot: SimpleNamespace,
    held: Conversation,
    sent: dict[str, Any],
    answer: dict[str, Any],
    submitted: dict[str, Any],
) -> None:
    asked = woot.bot.post(to(held), sent).json()
    with account_context(woot.house.account):
        [visitor] = held.address.identifiers.values_list("value", flat=True)
    hear(woot, visitor=visitor, **answer)
    shown = {one["id"]: one for one in woot.owner.get(to(held)).json()["payload"]}
    assert shown[asked["id"]]["content_attributes"] == {
        **asked["content_attributes"], **submitted,
    }  # fmt: skip
