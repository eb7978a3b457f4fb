"""Somebody proves who they are while people of the business merge them, or whom they are one with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rest_framework.exceptions import NotFound

from conversations import services
from conversations.models import Address, Contact
from integrations.chatwoot.api_inbox import people
from tests.factories import make_house
from tests.integrations.chatwoot.api_inbox.conftest import TOKEN, App, make_app, proof
from tests.integrations.chatwoot.compat.test_system_bot_races import begin

NOT_FOUND = {"error": "Resource could not be found"}


@pytest.fixture
def app(clean_database: None) -> App:
    """An app whose rows others see."""
    return make_app(make_house(), hmac_token=TOKEN)


def proven(identifier: str) -> dict[str, str]:
    return {"identifier": identifier, "identifier_hash": proof(identifier)}


def contact(app: App, name: str, **known: str) -> Contact:
    with app.inside():
        return services.create_contact(by=app.house.owner, name=name, **known)


@contextmanager
def meanwhile(app: App, call: Callable[[], Any]) -> Iterator[list[Any]]:
    """What is done in the block is seen by `call` only after it has waited for it; the list gets its
    answer."""
    answers: list[Any] = []
    with app.inside():
        yield answers
        caller: threading.Thread = begin(lambda: answers.append(call()))
    caller.join(20)
    assert len(answers) == 1


def merge(app: App, into: Contact, other: Contact) -> None:
    services.merge_contacts(into, other, by=app.house.owner)


def visitor(app: App) -> Contact:
    """Of whom `v-1` is the source_id."""
    app.customer("v-1")
    with app.inside():
        return Contact.objects.get()


def test_who_becomes_somebody_else_meanwhile_does_not_get_their_identity(app: App) -> None:
    """They were nobody in particular when they asked, and Ana Pop when they were heard."""
    somebody = visitor(app)
    ana = contact(app, "Ana Pop", email="ana@example.test")
    with meanwhile(app, lambda: app.patch("contacts/v-1", proven("shop-9"))) as answers:
        merge(app, ana, somebody)
    assert answers[0].status_code == 422
    assert "was merged" in answers[0].json()["error"]
    assert app.get("contacts/v-1").json()["email"] is None
    with app.inside():
        ana.refresh_from_db()
        assert (ana.identifier, Address.objects.get().proven_identifier) == ("", "")


def test_what_is_learnt_of_a_visitor_meanwhile_does_not_go_along_with_them(app: App) -> None:
    """Zed proves to be Zed; that Ana's contact was just merged into the visitor's proves nothing of her."""
    somebody = visitor(app)
    ana = contact(app, "Ana Pop", email="ana@example.test")
    zed = contact(app, "Zed", identifier="shop-7")
    with meanwhile(app, lambda: app.patch("contacts/v-1", proven("shop-7"))) as answers:
        merge(app, somebody, ana)
    assert answers[0].status_code == 422
    assert app.get("contacts/v-1").json()["email"] is None
    with app.inside():
        somebody.refresh_from_db()
        zed.refresh_from_db()
    assert (somebody.merged_into_id, somebody.email) == (None, "ana@example.test")
    assert zed.email == ""


def test_whose_identity_it_is_may_be_merged_meanwhile(app: App) -> None:
    """Ana has Zed's identity when the visitor is heard, and is whom it proves."""
    visitor(app)
    zed, ana = contact(app, "Zed", identifier="shop-7"), contact(app, "Ana Pop")
    with meanwhile(app, lambda: app.patch("contacts/v-1", proven("shop-7"))) as answers:
        merge(app, ana, zed)
    assert (answers[0].status_code, answers[0].json()["id"]) == (200, ana.pk)
    with app.inside():
        assert Address.objects.get().contact_id == ana.pk


def test_people_may_merge_what_is_proven_to_be_one_meanwhile(app: App) -> None:
    somebody, ana = visitor(app), contact(app, "Ana Pop", identifier="shop-7")
    with meanwhile(app, lambda: app.patch("contacts/v-1", proven("shop-7"))) as answers:
        merge(app, ana, somebody)
    assert (answers[0].status_code, answers[0].json()["name"]) == (200, "Ana Pop")


def test_a_new_device_comes_to_whom_its_customer_is_merged_with_meanwhile(app: App) -> None:
    zed, ana = contact(app, "Zed", identifier="shop-7"), contact(app, "Ana Pop")
    with meanwhile(app, lambda: app.post("contacts", proven("shop-7"))) as answers:
        merge(app, ana, zed)
    assert (answers[0].status_code, answers[0].json()["id"]) == (200, ana.pk)
    with app.inside():
        assert Address.objects.get().contact_id == ana.pk


def test_two_devices_with_one_new_identity_are_one_customer(app: App) -> None:
    for source_id in ("v-1", "v-2"):
        app.customer(source_id)
    with meanwhile(app, lambda: app.patch("contacts/v-2", proven("shop-9"))) as answers:
        first = people.find(app.inbox, "v-1")
        assert first is not None
        people.identify(first, "shop-9")
    assert (answers[0].status_code, answers[0].json()["id"]) == (200, first.contact_id)


@pytest.mark.parametrize("call", ["get", "patch"])
def test_f_32_who_proves_to_be_somebody_while_they_are_erased_is_nowhere(
    app: App, call: str
) -> None:
    """Known by that identity already, so that there is nothing to do but to remember the proof."""
    somebody = visitor(app)
    with app.inside():
        services.update_contact(somebody, by=app.house.owner, identifier="shop-7")
    shown = {
        "get": lambda: app.get("contacts/v-1", **proven("shop-7")),
        "patch": lambda: app.patch("contacts/v-1", proven("shop-7")),
    }
    with meanwhile(app, shown[call]) as answers:
        services.erase_contact(somebody, by=app.house.owner)
    assert (answers[0].status_code, answers[0].json()) == (404, NOT_FOUND)
    with app.inside():
        assert Address.objects.get().proven_identifier == ""


def test_f_32_who_becomes_somebody_while_they_are_erased_is_nowhere(app: App) -> None:
    somebody = visitor(app)
    with meanwhile(app, lambda: app.patch("contacts/v-1", proven("shop-9"))) as answers:
        services.erase_contact(somebody, by=app.house.owner)
    assert (answers[0].status_code, answers[0].json()) == (404, NOT_FOUND)
    with app.inside():
        somebody.refresh_from_db()
        assert (somebody.identifier, Address.objects.get().proven_identifier) == ("", "")


def test_what_is_gone_altogether_is_nowhere(app: App) -> None:
    """Nothing of them is left to write to, by the time it is written."""
    somebody = visitor(app)
    with app.inside():
        services.update_contact(somebody, by=app.house.owner, identifier="shop-7")
        found = people.find(app.inbox, "v-1")
        assert found is not None
        somebody.delete()
        with pytest.raises(NotFound):
            people.admit(found, proven("shop-7"))


def test_who_meets_somebody_busy_is_asked_to_come_again(app: App) -> None:
    """Clients repeat after 429, and never after 422."""
    pk = visitor(app).pk
    answers: list[Any] = []
    with app.inside():
        Contact.objects.select_for_update().get(pk=pk)
        caller = begin(lambda: answers.append(app.patch("contacts/v-1", proven("shop-9"))))
        caller.join(20)
    assert [one.status_code for one in answers] == [429]
    assert answers[0]["Retry-After"] == "1"
    assert app.patch("contacts/v-1", proven("shop-9")).status_code == 200
