"""Contacts: made before they write, known by the business's own identifier, and merged into one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.ids import encode
from accounts.models import AuditEntry
from accounts.tenancy import account_context
from conversations import services
from conversations.errors import BusyError, FieldError, TakenError, WrongStateError
from conversations.models import Address, Contact, ContactLabel, Conversation, Event, Message
from conversations.services.erasing import erase_latecomers
from conversations.services.merging import move_latecomers
from tests.api import code_of
from tests.conversations.test_views import logged_in
from tests.factories import make_conversation, make_house, make_inbox, said


@pytest.fixture
def two(house: SimpleNamespace) -> SimpleNamespace:
    """Ion of the shop, and the Ion who wrote from elsewhere."""
    house.ours = make_conversation(house.inbox, "Hello", contact_name="Ion")
    house.other_inbox = make_inbox(house.account, name="Shop")
    house.theirs = make_conversation(house.other_inbox, "Hi", contact_name="Ionel", visitor="v7")
    house.base, house.mergee = house.ours.contact, house.theirs.contact
    return house


def known(contact: Contact) -> Contact:
    return Contact.objects.get(pk=contact.pk)


# --- Making --------------------------------------------------------------------------------------


def test_somebody_is_known_before_they_write(house: SimpleNamespace) -> None:
    made = services.create_contact(
        by=house.owner, name="Ion", identifier="crm-1", attributes={"vip": True, "x": None}
    )
    assert (known(made).identifier, known(made).attributes) == ("crm-1", {"vip": True})
    with pytest.raises(FieldError):
        services.create_contact(by=house.owner, language="ro")
    with pytest.raises(TakenError):
        services.create_contact(by=house.owner, name="Other", identifier="crm-1")
    other = services.create_contact(by=house.owner, name="Other")
    services.create_contact(by=house.owner, name="A third")  # nobody's identifier is empty twice
    with pytest.raises(TakenError):
        services.update_contact(other, by=house.owner, identifier="crm-1")


def test_an_erased_customer_has_no_identifier_any_more(house: SimpleNamespace) -> None:
    made = services.create_contact(by=house.owner, name="Ion", identifier="crm-1")
    services.erase_contact(made, by=house.owner)
    assert known(made).identifier == ""


# --- Merging -------------------------------------------------------------------------------------


def test_everything_of_the_other_belongs_to_the_one_that_is_kept(two: SimpleNamespace) -> None:
    services.update_contact(two.base, by=two.owner, attributes={"size": "L"})
    services.update_contact(
        two.mergee, by=two.owner, email="ion@example.test", identifier="crm-1", language="ro",
        attributes={"size": "S", "city": "Cluj"},
    )  # fmt: skip
    services.set_contact_labels(two.base, ["vip"])
    services.set_contact_labels(two.mergee, ["vip", "late"])
    merged = services.merge_contacts(two.base, two.mergee, by=two.owner)
    base, mergee = known(two.base), known(two.mergee)
    assert merged == base
    assert (base.name, base.email, base.identifier, base.language) == (
        "Ion", "ion@example.test", "crm-1", "ro",
    )  # fmt: skip
    assert base.attributes == {"size": "L", "city": "Cluj"}
    assert set(base.labels.values_list("name", flat=True)) == {"vip", "late"}
    assert Conversation.objects.filter(contact=base).count() == 2
    assert Address.objects.filter(contact=base).count() == 2
    assert (mergee.merged_into, mergee.name, mergee.email, mergee.attributes) == (base, "", "", {})
    assert str(mergee) == "Merged customer"
    assert not ContactLabel.objects.filter(contact=mergee).exists()


def test_a_merge_is_told_in_what_moved_and_in_the_audit_log(two: SimpleNamespace) -> None:
    services.merge_contacts(two.base, two.mergee, by=two.owner)
    [event] = Event.objects.filter(type="contact.merged")
    assert event.conversation == two.theirs
    assert event.data == {
        "merged": two.mergee.public_id,
        "into": two.base.public_id,
        "actor": two.owner.public_id,
    }
    line = Message.objects.get(conversation=two.theirs, direction="system")
    assert line.text == "Merged into one customer with another by Olga"
    entry = AuditEntry.objects.get(action="contact.merged")
    assert entry.object_id == two.base.public_id
    assert entry.changes == {"merged": two.mergee.public_id, "conversations": 1}


@pytest.mark.parametrize("whose", ["base", "mergee"])
def test_the_one_that_is_kept_is_blocked_when_either_was(two: SimpleNamespace, whose: str) -> None:
    services.update_contact(getattr(two, whose), by=two.owner, blocked=True)
    services.merge_contacts(two.base, two.mergee, by=two.owner)
    assert known(two.base).blocked
    changes = AuditEntry.objects.get(action="contact.merged").changes
    assert changes.get("blocked") == ([False, True] if whose == "mergee" else None)
    heard = services.receive(two.other_inbox, said("Me again", visitor="v7"))
    assert heard == "ignored: the contact is blocked"
    services.update_contact(two.base, by=two.owner, blocked=False)
    Contact.objects.filter(pk=two.mergee.pk).update(phone="+40722000111")
    move_latecomers()
    assert not known(two.base).blocked  # who is let in again stays so


def test_somebody_without_a_conversation_is_told_where_the_other_talks(
    two: SimpleNamespace,
) -> None:
    silent = services.create_contact(by=two.owner, name="Ion", identifier="crm-1")
    services.merge_contacts(two.base, silent, by=two.owner)
    assert Event.objects.get(type="contact.merged").conversation == two.ours
    assert known(two.base).identifier == "crm-1"
    other = services.create_contact(by=two.owner, name="Ion")
    services.merge_contacts(silent_pair(two), other, by=two.owner)
    assert Event.objects.filter(type="contact.merged").count() == 1


def silent_pair(two: SimpleNamespace) -> Contact:
    return services.create_contact(by=two.owner, name="Nobody talks to them")


def test_who_writes_from_either_address_is_the_one_that_is_kept(two: SimpleNamespace) -> None:
    services.merge_contacts(two.base, two.mergee, by=two.owner)
    services.receive(two.other_inbox, said("Still me", visitor="v7", contact_name="Ionel"))
    two.theirs.refresh_from_db()
    assert (two.theirs.contact, two.theirs.preview) == (two.base, "Still me")
    assert known(two.mergee).name == ""


def test_some_cannot_be_merged(two: SimpleNamespace) -> None:
    third = services.create_contact(by=two.owner, name="Third")
    with pytest.raises(WrongStateError):
        services.merge_contacts(two.base, two.base, by=two.owner)
    services.merge_contacts(two.base, two.mergee, by=two.owner)
    for pair in ((two.mergee, third), (third, two.mergee)):
        with pytest.raises(WrongStateError):
            services.merge_contacts(*pair, by=two.owner)
    services.erase_contact(third, by=two.owner)
    for pair in ((two.base, third), (third, two.base)):
        with pytest.raises(WrongStateError):
            services.merge_contacts(*pair, by=two.owner)


def test_a_chain_leads_to_its_end(two: SimpleNamespace) -> None:
    last = services.create_contact(by=two.owner, name="Last")
    services.merge_contacts(two.base, two.mergee, by=two.owner)
    services.merge_contacts(last, two.base, by=two.owner)
    assert known(two.mergee).merged_into == known(two.base).merged_into == last
    changed = services.update_contact(two.mergee, by=two.owner, email="x@example.test")
    assert changed == last


def test_erasing_by_an_old_id_erases_who_they_are_now(two: SimpleNamespace) -> None:
    services.merge_contacts(two.base, two.mergee, by=two.owner)
    services.erase_contact(two.mergee, by=two.owner)
    assert known(two.base).erased_at is not None
    two.theirs.refresh_from_db()
    assert (two.theirs.status, two.theirs.preview) == ("resolved", "")


def test_what_was_under_way_is_moved_later(two: SimpleNamespace) -> None:
    """A first message that knew the other from before the merge began its conversation with them."""
    services.merge_contacts(two.base, two.mergee, by=two.owner)
    Conversation.objects.filter(pk=two.theirs.pk).update(contact=two.mergee)
    Contact.objects.filter(pk=two.mergee.pk).update(phone="+40722000111")
    assert move_latecomers() == 1
    assert Conversation.objects.filter(contact=two.base).count() == 2
    assert (known(two.base).phone, known(two.mergee).phone) == ("+40722000111", "")
    assert move_latecomers() == 0


def test_a_latecomer_brings_nothing_back_to_somebody_erased(two: SimpleNamespace) -> None:
    services.merge_contacts(two.base, two.mergee, by=two.owner)
    services.erase_contact(two.base, by=two.owner)
    Contact.objects.filter(pk=two.mergee.pk).update(name="Ion again")
    move_latecomers()
    assert (known(two.base).name, known(two.mergee).name) == ("", "")


@contextmanager
def writing(
    house: SimpleNamespace, *steps: Callable[[], object], let_go: bool = True
) -> Iterator[list[str]]:
    """Somebody else takes one step after the other in a transaction; between the first two we begin.

    Without `let_go` they stay at their first step until we have given up.
    """
    held, go = threading.Event(), threading.Event()
    done: list[str] = []

    def write() -> None:
        try:
            with account_context(house.account):
                for step in steps:
                    step()
                    held.set()
                    go.wait(10)
            done.append("written")
        finally:
            held.set()
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert held.wait(10)
    if let_go:
        threading.Timer(0.2, go.set).start()
    try:
        yield done
    finally:
        go.set()
        writer.join(10)


@pytest.fixture
def shop(clean_database: None) -> SimpleNamespace:
    """Ion, who is known, and somebody who writes and may be him."""
    house = make_house()
    with account_context(house.account):
        house.base = services.create_contact(by=house.owner, name="Ion")
    house.thread = make_conversation(house.inbox)
    with account_context(house.account):
        house.mergee = Contact.objects.get(pk=house.thread.contact_id)
    return house


def hold(shop: SimpleNamespace) -> None:
    Conversation.objects.select_for_update().get(pk=shop.thread.pk)


def fill_in(shop: SimpleNamespace) -> None:
    Contact.objects.filter(pk=shop.mergee.pk).update(phone="+40722000111")


def set_size(shop: SimpleNamespace) -> None:
    services.set_attributes(shop.thread, {"size": "L"}, by=None)


def merge_both(shop: SimpleNamespace) -> None:
    services.merge_contacts(shop.base, shop.mergee, by=shop.owner)


def erase_them(shop: SimpleNamespace) -> None:
    services.erase_contact(shop.mergee, by=shop.owner)


def wipe_late(_shop: SimpleNamespace) -> None:
    assert erase_latecomers() == 1


def move_late(_shop: SimpleNamespace) -> None:
    assert move_latecomers() == 1


Act = Callable[[SimpleNamespace], None]
ORDERS = {"conversation first": (hold, set_size), "contact first": (fill_in, hold)}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("act", [merge_both, erase_them, wipe_late, move_late])
def test_whoever_writes_first_is_done_first_in_either_order(
    shop: SimpleNamespace, act: Act, order: str
) -> None:
    """F-32: neither of the two is the one whom PostgreSQL throws out."""
    late: dict[str, Any] = {}
    if act is wipe_late:
        late = {"erased_at": timezone.now()}
    elif act is move_late:
        late = {"merged_at": timezone.now(), "merged_into": shop.base}
    with account_context(shop.account):
        Contact.objects.filter(pk=shop.mergee.pk).update(**late)
    steps = [partial(step, shop) for step in ORDERS[order]]
    with writing(shop, *steps) as done, account_context(shop.account):
        act(shop)
    assert done == ["written"]


def test_who_is_being_written_to_for_long_is_neither_merged_nor_erased(
    shop: SimpleNamespace,
) -> None:
    client: Any = logged_in(shop.owner)
    with writing(shop, partial(hold, shop), let_go=False) as done:
        for act in (merge_both, erase_them):
            with account_context(shop.account), pytest.raises(BusyError):
                act(shop)
        page = client.post(f"/inbox/{shop.thread.public_id}/merge/", {"with": shop.base.public_id})
        assert page.status_code == 302
    assert done == ["written"]
    with account_context(shop.account):
        assert known(shop.mergee).erased_at is None
        merge_both(shop)
        assert known(shop.mergee).merged_into == shop.base


def test_a_change_by_an_old_id_holds_nothing_but_who_they_are_now(shop: SimpleNamespace) -> None:
    """It waits for the other, who is merged meanwhile, and lets go of them before it goes on."""

    def merge_now() -> None:
        Contact.objects.filter(pk=shop.mergee.pk).update(merged_into=shop.base)

    with writing(shop, merge_now) as done, account_context(shop.account):
        changed = services.update_contact(shop.mergee, by=shop.owner, email="x@example.test")
        with writing(shop, partial(Contact.objects.select_for_update().get, pk=shop.mergee.pk)):
            pass
    assert (done, changed) == (["written"], shop.base)


# --- Pages ---------------------------------------------------------------------------------------


def test_an_admin_finds_the_other_sees_both_and_says_yes(two: SimpleNamespace) -> None:
    client: Any = logged_in(two.admin)
    address = f"/inbox/{two.ours.public_id}/merge/"
    assert address in client.get(f"/inbox/{two.ours.public_id}/").content.decode()
    page = client.get(address, {"q": "ionel"}).content.decode()
    assert f"?with={two.mergee.public_id}" in page
    assert f"?with={two.base.public_id}" not in client.get(address, {"q": "ion"}).content.decode()
    assert "Nobody found" in client.get(address, {"q": "zzz"}).content.decode()
    asked = client.get(address, {"with": two.mergee.public_id}).content.decode()
    assert "This cannot be undone" in asked
    assert "will be blocked" not in asked
    services.update_contact(two.mergee, by=two.owner, blocked=True)
    asked = client.get(address, {"with": two.mergee.public_id}).content.decode()
    assert "The one that is kept will be blocked" in asked
    assert known(two.mergee).merged_into is None
    assert client.post(address, {"with": two.mergee.public_id}).status_code == 302
    assert known(two.mergee).merged_into == two.base
    assert client.post(address, {"with": two.mergee.public_id}).status_code == 404


def test_nobody_merges_what_is_not_theirs(two: SimpleNamespace) -> None:
    address = f"/inbox/{two.ours.public_id}/merge/"
    wanted = {"with": two.mergee.public_id}
    for member, status in ((two.person, 403), (two.supervisor, 403), (two.outsider, 404)):
        client: Any = logged_in(member)
        assert client.get(address, wanted).status_code == status
        assert client.post(address, wanted).status_code == status
    assert known(two.mergee).merged_into is None


# --- REST ----------------------------------------------------------------------------------------


def test_contacts_are_made_over_rest(api: SimpleNamespace) -> None:
    made = api.person.post(
        "/v1/contacts/", {"name": "Ion", "identifier": "crm-1", "phone": "+40722000111"}
    )
    assert made.status_code == 201
    assert (made.json()["identifier"], made.json()["labels"]) == ("crm-1", [])
    assert code_of(api.person.post("/v1/contacts/", {"identifier": "crm-1"})) == "already_exists"
    assert api.person.post("/v1/contacts/", {}).status_code == 400
    assert api.agent.post("/v1/contacts/", {"name": "x"}).status_code == 403

    def found(caller: Any, **query: str) -> int:
        return len(caller.get("/v1/contacts/", **query).json()["results"])

    for query in ({"identifier": "crm-1"}, {"q": "CRM-"}, {"q": "+40 722"}, {"q": "ion"}):
        assert found(api.person, **query) == 1
        assert found(api.outsider, **query) == 0
    with account_context(api.house.outsider_account):  # each account has its own
        services.create_contact(by=api.house.outsider, identifier="crm-1")


def test_an_agent_says_neither_who_somebody_is_nor_who_is_let_in(api: SimpleNamespace) -> None:
    thread = make_conversation(api.house.inbox)
    with account_context(api.house.account):
        services.assign(thread, to=api.house.agent.member, by=None)
    address = f"/v1/contacts/{encode('con', thread.contact_id)}/"
    for changes in ({"blocked": True}, {"identifier": "crm-1"}, {"name": "Ion", "blocked": False}):
        assert api.agent.patch(address, changes).status_code == 403
        assert api.outsider.patch(address, changes).status_code == 404
    assert api.agent.patch(address, {"name": "Ion"}).json()["name"] == "Ion"
    assert api.person.patch(address, {"blocked": True}).json()["blocked"] is True


def test_an_old_id_leads_to_who_they_are_now(api: SimpleNamespace) -> None:
    base, mergee = (
        encode("con", make_conversation(api.house.inbox).contact_id) for _each in range(2)
    )
    merged = api.admin.post(f"/v1/contacts/{base}/merge/", {"contact": mergee})
    assert (merged.status_code, merged.json()["id"]) == (200, base)
    assert api.person.get(f"/v1/contacts/{mergee}/").json()["id"] == base
    assert api.person.patch(f"/v1/contacts/{mergee}/", {"name": "Ion"}).json()["id"] == base
    for public_id in (base, mergee):
        threads = api.person.get("/v1/conversations/", contact=public_id).json()["results"]
        assert [row["contact"]["id"] for row in threads] == [base, base]
    assert [row["id"] for row in api.person.get("/v1/contacts/").json()["results"]] == [base]
    again = api.admin.post(f"/v1/contacts/{base}/merge/", {"contact": mergee})
    assert (again.status_code, code_of(again)) == (409, "wrong_state")
    assert (
        api.supervisor.post(f"/v1/contacts/{base}/merge/", {"contact": mergee}).status_code == 403
    )
    assert api.outsider.get(f"/v1/contacts/{mergee}/").status_code == 404
    theirs = encode("con", make_conversation(make_inbox(api.house.outsider_account)).contact_id)
    assert api.admin.post(f"/v1/contacts/{base}/merge/", {"contact": theirs}).status_code == 400
    assert api.outsider.post(f"/v1/contacts/{theirs}/merge/", {"contact": base}).status_code == 400


@pytest.mark.parametrize(
    ("column", "value", "index"),
    [
        ("phone", "+40722000111", "contact_by_phone"),
        ("identifier", "crm-1", "contact_identifier_once"),
    ],
)
def test_a_number_and_an_identifier_are_found_by_an_index(
    house: SimpleNamespace, column: str, value: str, index: str
) -> None:
    """Behind wall 3, where only leakproof questions reach an index."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = Contact.objects.present().filter(**{column: value}).explain()
        cursor.execute("SET LOCAL enable_seqscan = on")
    assert index in plan
