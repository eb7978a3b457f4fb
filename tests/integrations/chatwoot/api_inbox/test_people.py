"""Who talks to an API inbox: what an app may claim, what it must prove, and what nobody reads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from rest_framework.exceptions import NotFound

from accounts import limits
from accounts.models import RateBucket
from accounts.tenancy import account_context
from conversations import services
from conversations.messages import Identifier
from conversations.models import Address, Contact, Inbox
from conversations.services.addresses import find_or_create_address
from integrations import routes
from integrations.chatwoot import payload
from integrations.chatwoot.api_inbox import people
from integrations.chatwoot.api_inbox.view import INBOX_CALLS, INBOX_NEWCOMERS
from integrations.chatwoot.errors import ChatwootError
from integrations.chatwoot.shown import gather
from integrations.models import Receipt
from tests.factories import make_inbox
from tests.integrations.chatwoot.api_inbox.conftest import TOKEN, App, make_app, proof

NOT_FOUND = {"error": "Resource could not be found"}
UNPROVEN = {"error": "HMAC failed: Invalid Identifier Hash Provided"}


def test_the_inbox_says_who_it_is(app: App) -> None:
    assert app.get("").json() == {
        "identifier": app.identifier,
        "identity_validation_enabled": False,
        "name": "Our app",
        "timezone": app.inbox.account.time_zone,
        "working_hours": [],
        "working_hours_enabled": False,
        "csat_survey_enabled": False,
        "greeting_enabled": False,
    }


def test_the_format_may_be_named_but_is_part_of_what_an_app_calls_somebody(app: App) -> None:
    for source_id in ("ana", "ana.json"):
        assert app.post("contacts.json", {"source_id": source_id}).status_code == 200
        assert app.get(f"contacts/{source_id}").json()["source_id"] == source_id
    assert app.post("contacts/ana.json/conversations.json").status_code == 200


def test_a_customer_is_made_shown_and_changed(app: App) -> None:
    said = {
        "name": "Ana", "email": "ana@example.test", "phone_number": "+40721000111",
        "custom_attributes": {"plan": "gold"},
    }  # fmt: skip
    made = app.post("contacts", said).json()
    assert set(made) == {"source_id", "pubsub_token", "id", "name", "email", "phone_number"}
    assert {name: made[name] for name in ("name", "email", "phone_number")} == {
        name: said[name] for name in ("name", "email", "phone_number")
    }
    path = f"contacts/{made['source_id']}"
    assert app.get(path).json() == made
    changed = app.patch(path, {"name": "Ana Pop", "custom_attributes": {"city": "Cluj"}}).json()
    assert changed == {**made, "name": "Ana Pop"}
    with app.inside():
        contact = Contact.objects.get(pk=made["id"])
    assert contact.attributes == {"plan": "gold", "city": "Cluj"}


def test_a_known_source_id_is_the_same_customer(app: App) -> None:
    first = app.post("contacts", {"source_id": "s-1", "name": "Ana"}).json()
    again = app.post("contacts", {"source_id": "s-1", "name": "Somebody else"}).json()
    assert again == first
    with app.inside():
        assert Contact.objects.count() == 1


@pytest.mark.parametrize(
    "said",
    [
        {"email": "ana@example.test"},
        {"phone_number": "+40721000111"},
        {"identifier": "shop-7"},
        {"identifier": "shop-7", "email": "ana@example.test", "phone_number": "+40721000111"},
    ],
    ids=["email", "phone", "identifier", "all"],
)
def test_a_claim_finds_nobody_and_changes_nobody(app: App, said: dict[str, str]) -> None:
    """Whoever knows an e-mail reads nothing of whom it belongs to, nor that there is somebody."""
    with app.inside():
        ana = services.create_contact(
            by=app.house.owner, name="Ana", email="ana@example.test", phone="+40721000111",
            identifier="shop-7",
        )  # fmt: skip
    made = app.post("contacts", said)
    assert made.status_code == 200
    assert made.json()["id"] != ana.pk
    assert made.json()["name"] != "Ana"
    assert {made.json()[name] for name in said if name != "identifier"} == {
        value for name, value in said.items() if name != "identifier"
    }
    with app.inside():
        assert not Contact.objects.exclude(pk=ana.pk).exclude(identifier="").exists()


def test_a_proven_identity_is_the_customer_who_has_it(app: App) -> None:
    with app.inside():
        ana = services.create_contact(by=app.house.owner, name="Ana", identifier="shop-7")
    said = {"identifier": "shop-7", "identifier_hash": proof("shop-7"), "email": "a@example.test"}
    phone, laptop = (app.post("contacts", said).json() for _ in range(2))
    assert phone["id"] == laptop["id"] == ana.pk
    assert phone["source_id"] != laptop["source_id"]
    assert laptop["email"] == "a@example.test"


def test_somebody_who_proves_it_later_keeps_what_they_said(app: App) -> None:
    with app.inside():
        ana = services.create_contact(by=app.house.owner, name="Ana", identifier="shop-7")
    visitor = app.customer("v-1")
    visitor.says("Hello")
    proven = {"identifier": "shop-7", "identifier_hash": proof("shop-7")}
    assert app.patch("contacts/v-1", proven).json()["id"] == ana.pk
    assert [one["content"] for one in app.get(visitor.messages).json()] == ["Hello"]
    assert visitor.conversation().contact_id == ana.pk
    other = {"identifier": "shop-8", "identifier_hash": proof("shop-8")}
    refused = app.patch("contacts/v-1", other)
    assert refused.status_code == 422
    assert "another identity" in refused.json()["error"]


def test_a_new_identity_is_kept_for_the_next_device(app: App) -> None:
    proven = {"identifier": "shop-9", "identifier_hash": proof("shop-9")}
    first = app.post("contacts", {**proven, "name": "Bo"}).json()
    assert app.post("contacts", proven).json()["id"] == first["id"]


@pytest.mark.parametrize(
    "said",
    [
        {"identifier": "shop-7", "identifier_hash": proof("shop-8")},
        {"identifier": "shop-7", "identifier_hash": proof("shop-7", "another token")},
        {"identifier": "shop-7", "identifier_hash": "ä"},
        {"identifier_hash": proof("")},
    ],
    ids=["another's", "another token's", "no hash", "of nobody"],
)
def test_a_wrong_proof_is_refused(app: App, said: dict[str, str]) -> None:
    refused = app.post("contacts", said)
    assert (refused.status_code, refused.json()) == (401, UNPROVEN)
    app.post("contacts", {"source_id": "s"})
    assert app.patch("contacts/s", said).status_code == 401


def test_where_identities_are_proven_nobody_else_comes_in(house: SimpleNamespace) -> None:
    app = make_app(house, hmac_token=TOKEN, hmac_mandatory="1")
    assert app.get("").json()["identity_validation_enabled"] is True
    for said in ({}, {"name": "Ana"}, {"identifier": "shop-7"}):
        assert app.post("contacts", said).status_code == 401
    proven = {"identifier": "shop-7", "identifier_hash": proof("shop-7")}
    source_id = app.post("contacts", proven).json()["source_id"]
    assert app.patch(f"contacts/{source_id}", {"name": "Ana"}).json()["name"] == "Ana"


def test_without_a_secret_nothing_proves_anything(house: SimpleNamespace) -> None:
    app = make_app(house)
    said = {"identifier": "shop-7", "identifier_hash": proof("shop-7", "")}
    assert app.post("contacts", said).status_code == 401


@pytest.mark.parametrize(
    ("said", "about"),
    [
        ({"email": "nonsense"}, "email"),
        ({"phone_number": "x"}, "phone_number"),
        ({"custom_attributes": {"a": {"b": 1}}}, "custom_attributes"),
        ({"name": ["x"]}, "name"),
        ({"source_id": "a/b"}, "source_id"),
        ({"source_id": "x" * 251}, "source_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused(app: App, said: dict[str, Any], about: str) -> None:
    refused = app.post("contacts", said)
    assert refused.status_code == 422, refused.content
    assert about in refused.content.decode()
    with app.inside():
        assert not Contact.objects.exists()


def test_an_app_blocks_and_labels_nobody(app: App) -> None:
    app.post("contacts", {"source_id": "s", "blocked": True, "identifier": "x", "id": 7})
    with app.inside():
        contact = Contact.objects.get()
    assert (contact.blocked, contact.identifier) == (False, "")


# --- What nobody gets ----------------------------------------------------------------------------


def test_what_is_nowhere_is_their_404(app: App) -> None:
    ana = app.customer("ana")
    for path in (
        "contacts/bo", "contacts/bo/conversations", "contacts/ana/conversations/987",
        f"contacts/bo/conversations/{ana.number}", f"{ana.messages}/987", "nothing",
        "/public/api/v1/inboxes/guess", "/public/api/v1/inboxes/guess/contacts/ana",
        "/public/api/v1/inboxes/", f"/public/api/v1/inboxes/{app.inbox.public_id}",
    ):  # fmt: skip
        for answer in (app.get(path), app.patch(path, {"name": "x"})):
            if answer.status_code == 405:
                continue
            assert (answer.status_code, answer.json()) == (404, NOT_FOUND), path


def test_a_customer_reads_their_own_thread_only(app: App, house: SimpleNamespace) -> None:
    ana, bo = app.customer("ana"), app.customer("bo")
    secret = ana.says("my secret")
    mine = f"contacts/bo/conversations/{ana.number}"
    for path in (mine, f"{mine}/messages"):
        assert app.get(path).status_code == 404
    for act in ("toggle_status", "toggle_typing", "update_last_seen", "messages"):
        assert app.post(f"{mine}/{act}", {"content": "x"}).status_code == 404
    assert app.patch(f"{bo.messages}/{secret['id']}", {}).status_code == 404
    for path in ("contacts/%00", "contacts/a%00b/conversations"):
        for method in ("get", "patch", "post"):
            assert app.client.generic(method.upper(), app.at(path)).status_code == 404
    other = make_app(house)
    assert other.get("contacts/ana").status_code == 404
    assert "my secret" not in app.get("contacts/bo/conversations").content.decode()
    assert ana.conversation().status == "open"


def test_only_the_app_inbox_opens_by_its_identifier(app: App, house: SimpleNamespace) -> None:
    sandbox = make_inbox(house.account)
    with account_context(house.account):
        token = routes.create_route(sandbox)
    assert app.get(f"/public/api/v1/inboxes/{token}").status_code == 404
    with app.inside():
        Inbox.objects.filter(pk=app.inbox.pk).update(state="disabled")
    assert app.get("").status_code == 404


def test_who_was_erased_is_nowhere(app: App) -> None:
    ana = app.customer("ana", name="Ana")
    ana.says("Hello")
    with app.inside():
        services.erase_contact(ana.conversation().contact, by=app.house.owner)
    assert app.get("contacts/ana").status_code == 404
    assert app.get(ana.messages).status_code == 404


@pytest.mark.parametrize("source_id", ["ana", "a" * 250], ids=["short", "long"])
def test_f_32_of_who_was_erased_no_unheard_word_is_left(app: App, source_id: str) -> None:
    ana = app.customer(source_id)
    with app.inside():
        contact = Contact.objects.get()
        services.update_contact(contact, by=app.house.owner, blocked=True)
        assert app.post(ana.messages, {"content": "my illness"}).status_code == 422
        services.erase_contact(contact, by=app.house.owner)
        [receipt] = Receipt.objects.all()
    assert (receipt.state, receipt.body_packed) == (Receipt.State.IGNORED, b"")


def test_f_32_what_an_app_says_while_its_customer_is_erased_is_not_kept(app: App) -> None:
    """It was found a moment before, and waited for the erasing."""
    app.customer("ana", name="Ana")
    with app.inside():
        found = people.find(app.inbox, "ana")
        assert found is not None
        services.erase_contact(Contact.objects.get(), by=app.house.owner)
        with pytest.raises(NotFound):
            people.describe(found, {"name": "Ana again", "email": "ana@example.test"})
        erased = Contact.objects.get()
    assert (erased.name, erased.email) == ("", "")


def test_a_flood_is_slowed_down(app: App) -> None:
    ana = app.customer("ana")
    answers = [app.post(f"{ana.thread}/toggle_typing") for _ in range(70)]
    codes = [one.status_code for one in answers]
    assert 429 in codes
    assert codes[:50] == [200] * 50
    refused = answers[codes.index(429)]
    assert (refused.content, refused["Retry-After"]) == (b"Retry later\n", "1")
    assert app.get(ana.messages).status_code == 200
    assert RateBucket.objects.filter(key__contains="api-inbox.contact").exists()


def test_pages_of_every_origin_may_call(app: App) -> None:
    asked = app.client.options(app.at("contacts"), headers={"origin": "https://shop.example"})
    assert asked.status_code == 204
    assert asked["Access-Control-Allow-Methods"] == "POST"
    assert app.get("")["Access-Control-Allow-Origin"] == "*"
    assert app.get("contacts/x")["Access-Control-Allow-Origin"] == "*"
    assert app.client.delete(app.at("contacts")).status_code == 405


# --- Who has proven it ---------------------------------------------------------------------------

PROVEN = {"identifier": "shop-7", "identifier_hash": proof("shop-7")}


@pytest.fixture
def strict(house: SimpleNamespace) -> App:
    """An app whose customers all prove who they are."""
    return make_app(house, hmac_token=TOKEN, hmac_mandatory="1")


def test_only_who_has_proven_it_comes_in_where_the_inbox_asks_for_it(strict: App) -> None:
    """A source_id that was guessed opens nothing, nor does one from before the inbox asked."""
    with strict.inside():
        find_or_create_address(strict.inbox, (Identifier("visitor", "7"),), name="Ana")
    assert strict.get("contacts/7").json() == UNPROVEN
    answers = [
        strict.get("contacts/7"),
        strict.patch("contacts/7", {"name": "x"}),
        strict.get("contacts/7/conversations"),
        strict.post("contacts/7/conversations"),
        strict.get("contacts/7/conversations/1/messages"),
        strict.post("contacts/7/conversations/1/messages", {"content": "x"}),
        strict.get("contacts/7", **{**PROVEN, "identifier_hash": proof("shop-8")}),
        strict.get("contacts/7", **PROVEN),  # somebody else's identity
    ]
    assert [one.status_code for one in answers] == [401] * len(answers)
    assert strict.patch("contacts/7", PROVEN).status_code == 200
    ana = strict.post("contacts/7/conversations").json()
    assert strict.get("contacts/7").json()["name"] == "Ana"
    assert strict.get(f"contacts/7/conversations/{ana['id']}/messages").json() == []


def test_a_proof_is_remembered_and_can_be_sent_along(strict: App) -> None:
    source_id = strict.post("contacts", PROVEN).json()["source_id"]
    assert strict.get(f"contacts/{source_id}").status_code == 200
    with strict.inside():
        Address.objects.update(proven_identifier="")  # one from before it was remembered
    assert strict.get(f"contacts/{source_id}").status_code == 401
    assert strict.get(f"contacts/{source_id}", **PROVEN).status_code == 200
    assert strict.get(f"contacts/{source_id}").status_code == 200


def test_a_proof_counts_as_long_as_they_have_that_identity(strict: App) -> None:
    source_id = strict.post("contacts", PROVEN).json()["source_id"]
    with strict.inside():
        services.update_contact(Contact.objects.get(), by=None, identifier="shop-8")
    assert strict.get(f"contacts/{source_id}").status_code == 401


def test_webhooks_and_the_api_say_that_it_is_proven(app: App) -> None:
    ana = app.customer("ana", **PROVEN)
    bo = app.customer("bo")
    for customer, is_proven in ((ana, True), (bo, False)):
        with app.inside():
            shown = payload.conversation_json(
                customer.conversation(), gather([customer.conversation()])
            )
        assert shown["meta"]["hmac_verified"] is is_proven
        assert shown["contact_inbox"]["hmac_verified"] is is_proven


# --- Who was merged ------------------------------------------------------------------------------


@pytest.mark.parametrize("visitor_stays", [True, False], ids=["into the visitor", "into Ana"])
def test_whom_people_merged_a_visitor_with_is_none_of_the_visitors_business(
    app: App, visitor_stays: bool
) -> None:
    """Neither read nor written: it was people who found that they are one, and nothing proves it."""
    visitor = app.customer("v-1", name="Somebody")
    visitor.says("Hello")
    with app.inside():
        ana = services.create_contact(
            by=app.house.owner, name="Ana Pop", email="ana@example.test", phone="+40721000111",
            identifier="shop-7",
        )  # fmt: skip
        pair = [visitor.conversation().contact, ana]
        services.merge_contacts(*(pair if visitor_stays else pair[::-1]), by=app.house.owner)
    known = {"name": "Visitor v-1", "email": None, "phone_number": None}
    shown = app.get("contacts/v-1").json()
    assert {name: shown[name] for name in known} == known
    assert app.post("contacts", {"source_id": "v-1"}).json() == shown
    refused = app.patch("contacts/v-1", {"email": "mine@example.test", "name": "Mine"})
    assert (refused.status_code, refused.json()) == (401, UNPROVEN)
    app.post("contacts", {"source_id": "v-1", "email": "mine@example.test"})
    visitor.says("Still me")
    thread = app.get(visitor.thread)
    assert [one["content"] for one in app.get(visitor.messages).json()] == ["Hello", "Still me"]
    for words in ("Ana Pop", "ana@example", "40721000111"):
        assert words not in thread.content.decode() + app.get(visitor.messages).content.decode()
    with app.inside():
        assert visitor.conversation().contact.email == "ana@example.test"
    # Who proves it, is it.
    assert app.patch("contacts/v-1", {**PROVEN, "name": "Ana P."}).json()["name"] == "Ana P."
    assert app.get("contacts/v-1").json()["email"] == "ana@example.test"


def test_whoever_is_merged_in_between_is_not_changed(app: App) -> None:
    """The visitor was found a moment before."""
    visitor = app.customer("v-1")
    with app.inside():
        found = people.find(app.inbox, "v-1")
        assert found is not None
        ana = services.create_contact(by=app.house.owner, name="Ana Pop")
        services.merge_contacts(ana, visitor.conversation().contact, by=app.house.owner)
        with pytest.raises(ChatwootError):
            people.describe(found, {"name": "Mine"})
        ana.refresh_from_db()
    assert ana.name == "Ana Pop"


def test_to_have_an_identity_proves_nobody_to_be_whom_they_were_merged_with(app: App) -> None:
    """Somebody talked people into merging, and proves afterwards to be themselves."""
    visitor = app.customer("v-1")
    with app.inside():
        ana = services.create_contact(by=app.house.owner, name="Ana Pop", email="ana@example.test")
        services.merge_contacts(ana, visitor.conversation().contact, by=app.house.owner)
        services.create_contact(by=app.house.owner, name="Zed", identifier="shop-7")
    for identifier in ("shop-7", "shop-9"):  # somebody known, and nobody yet
        proven = {"identifier": identifier, "identifier_hash": proof(identifier)}
        refused = [
            app.patch("contacts/v-1", proven),
            app.post("contacts", {"source_id": "v-1", **proven}),
        ]
        assert [one.status_code for one in refused] == [422, 422]
        assert "new source_id" in refused[0].json()["error"]
        assert app.get("contacts/v-1", **proven).status_code == 401
    assert app.get("contacts/v-1").json()["email"] is None
    with app.inside():
        ana.refresh_from_db()
    assert (ana.identifier, ana.merged_into_id) == ("", None)


# --- Guessing ------------------------------------------------------------------------------------


def test_who_guesses_names_is_soon_answered_for_none(app: App, house: SimpleNamespace) -> None:
    app.customer("ana")
    codes = [app.get(f"contacts/{n}").status_code for n in range(65)]
    assert codes == [404] * 60 + [429] * 5
    assert app.get("contacts/ana").status_code == 429  # or the guesser would know it
    assert app.get("contacts/ana/conversations").status_code == 429
    assert app.get("").status_code == 200
    elsewhere = app.client.get(app.at("contacts/ana"), REMOTE_ADDR="203.0.113.9")
    other = make_app(house)
    other.customer("ana")
    assert other.get("contacts/ana").status_code == 200
    assert elsewhere.status_code == 200


def test_known_names_cost_no_guess(app: App) -> None:
    app.customer("ana")
    assert {app.get("contacts/ana").status_code for _ in range(70)} == {200}
    assert not RateBucket.objects.filter(key__contains="api-inbox.guess").exists()


def test_an_inbox_has_limits_of_its_own(app: App, house: SimpleNamespace) -> None:
    limits.empty(INBOX_NEWCOMERS, str(app.inbox.pk), seconds=60)
    assert app.post("contacts", {"name": "Ana"}).status_code == 429
    assert app.get("").status_code == 200
    limits.empty(INBOX_CALLS, str(app.inbox.pk), seconds=60)
    assert app.get("").status_code == 429
    assert make_app(house).post("contacts", {"name": "Ana"}).status_code == 200
