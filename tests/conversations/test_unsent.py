"""What people have begun to write and not sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accounts.models import Account
from accounts.tenancy import account_context
from conversations import services
from conversations.errors import FieldError, WrongStateError
from conversations.models import UnsentText
from conversations.services.erasing import erase_latecomers
from tests.factories import make_conversation


def test_one_text_a_person_over_rest(api: SimpleNamespace) -> None:
    thread = make_conversation(api.house.inbox)
    path = f"/v1/conversations/{thread.public_id}/unsent/"
    nothing = {"text": "", "updated_at": None}
    assert api.person.get(path).json() == nothing
    for text in ("Hello, I am", " Hello,\nI am Petra "):
        kept = api.person.put(path, {"text": text})
        assert (kept.status_code, kept.json()["text"]) == (200, text)
        assert api.person.get(path).json() == kept.json()
    assert api.owner.get(path).json() == nothing
    assert api.person.put(path, {"text": " "}).json() == nothing
    api.person.put(path, {"text": "Hello"})
    assert api.owner.delete(path).status_code == 204
    assert api.person.get(path).json()["text"] == "Hello"
    for _twice in range(2):
        assert api.person.delete(path).status_code == 204
    assert api.person.get(path).json() == nothing


@pytest.mark.parametrize(
    "body", [{}, {"text": None}, {"text": "x" * 10_001}, {"text": "\x00"}, {"words": "x"}], ids=len
)
def test_what_is_no_text(api: SimpleNamespace, body: dict[str, Any]) -> None:
    thread = make_conversation(api.house.inbox)
    path = f"/v1/conversations/{thread.public_id}/unsent/"
    assert api.person.put(path, body).status_code == 400
    assert api.person.get(path, of="owner").status_code == 400


def test_neither_agents_nor_strangers_nor_who_does_not_see_it(api: SimpleNamespace) -> None:
    house = api.house
    held, hers = make_conversation(house.inbox), make_conversation(house.inbox)
    Account.objects.filter(pk=house.account.pk).update(people_see="own")
    with account_context(house.account):
        services.assign(held, to=house.agent.member, by=None)
        services.assign(hers, to=house.owner, by=None)
    for caller, thread, status in (
        (api.agent, held, 403), (api.outsider, held, 404), (api.person, hers, 404),
    ):  # fmt: skip
        path = f"/v1/conversations/{thread.public_id}/unsent/"
        assert caller.get(path).status_code == status
        assert caller.put(path, {"text": "x"}).status_code == status
        assert caller.delete(path).status_code == status


def test_a_text_has_an_end(house: SimpleNamespace) -> None:
    thread = make_conversation(house.inbox)
    for text in ("x" * 10_001, "\x00"):
        with pytest.raises(FieldError):
            services.keep_unsent(thread, text=text, by=house.person)
    assert services.keep_unsent(thread, text="x" * 10_000, by=house.person)


def test_it_goes_with_an_erased_customer_and_none_comes_after(house: SimpleNamespace) -> None:
    thread, other = make_conversation(house.inbox), make_conversation(house.inbox)
    for conversation in (thread, other):
        services.keep_unsent(conversation, text="Hello Ana", by=house.person)
    services.erase_contact(thread.contact, by=house.owner)
    assert [one.conversation for one in UnsentText.objects.all()] == [other]
    with pytest.raises(WrongStateError):
        services.keep_unsent(thread, text="Hello Ana", by=house.person)
    UnsentText.objects.create(conversation=thread, member=house.person, text="Hello Ana")
    erase_latecomers()
    assert [one.conversation for one in UnsentText.objects.all()] == [other]


def test_it_stays_when_customers_are_merged(house: SimpleNamespace) -> None:
    thread = make_conversation(house.inbox)
    services.keep_unsent(thread, text="Hello", by=house.person)
    base = services.create_contact(by=house.owner, name="Ion")
    services.merge_contacts(base, thread.contact, by=house.owner)
    assert services.unsent_text(thread, house.person)
    assert services.keep_unsent(thread, text="Hello Ion", by=house.person)
