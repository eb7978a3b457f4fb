"""Rows that go as one value are the rows that `bulk_create` would have written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import DataError, IntegrityError, transaction
from django.utils import translation
from django.utils.translation import gettext_lazy

from accounts.inserting import insert_many, insert_missing
from accounts.models import Team
from accounts.tenancy import account_context
from conversations.models import AddressIdentifier, Contact, Delivery, Lane, Message
from tests import factories

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 27, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def conversation():
    account = factories.make_account()
    with account_context(account):
        made = factories.make_conversation(factories.make_inbox(account))
        Message.objects.all().delete()
        yield made


def a_message(conversation, **fields) -> Message:
    return Message(
        **{
            "conversation": conversation,
            "inbox": conversation.inbox,
            "direction": Message.Direction.INBOUND,
            "text": "line one\nline „two” \\ \x1f 🙂 %s",
            "content": {"list": [1, None, 2.5, {"ș": True}]},
            "sent_at": NOON,
            **fields,
        }
    )


def columns(row) -> dict[str, object]:
    fields = type(row)._meta.concrete_fields
    return {f.attname: getattr(row, f.attname) for f in fields if f.attname not in _OWN}


_OWN = {"id", "created_at"}


def test_rows_are_those_of_bulk_create(conversation):
    [ours] = insert_many([a_message(conversation)])
    [theirs] = Message.objects.bulk_create([a_message(conversation)])
    assert columns(Message.objects.get(pk=ours.pk)) == columns(Message.objects.get(pk=theirs.pk))
    assert Message.objects.get(pk=ours.pk).created_at == ours.created_at
    assert not ours._state.adding


def test_each_row_gets_its_own_key(conversation):
    made = insert_many(a_message(conversation, text=str(n)) for n in range(30))
    assert [row.text for row in Message.objects.order_by("id")] == [str(n) for n in range(30)]
    assert [row.pk for row in made] == sorted(row.pk for row in made)
    assert {row.pk: row.text for row in made} == dict(Message.objects.values_list("pk", "text"))


def test_bytes_and_defaults_of_the_database_arrive(conversation):
    lane = Lane.objects.create(kind=Lane.Kind.AGENT, destination_id=1, key="k")
    body = bytes(range(256)) * 40
    delivery = Delivery(lane=lane, kind=Lane.Kind.AGENT, sequence=1, due_at=NOON)
    delivery.body = body
    [made] = insert_many([delivery])
    found = Delivery.objects.get(pk=made.pk)
    assert (found.body, found.due_at, found.parked) == (body, NOON, False)


def test_what_a_row_points_to_may_be_written_after_the_row_is_made(conversation):
    contact = Contact(name="Ana")
    address = type(conversation.address)(inbox=conversation.inbox, contact=contact)
    insert_many([contact])
    insert_many([address])
    assert Contact.objects.get(addresses=address.pk) == contact


def test_too_long_a_text_is_refused_and_not_cut(conversation):
    with pytest.raises(DataError), transaction.atomic():
        insert_many([a_message(conversation, external_id="x" * 251)])
    assert not Message.objects.exists()


def test_all_or_nothing(conversation):
    twice = [a_message(conversation, external_id="wamid.1") for _ in range(2)]
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_many([a_message(conversation), *twice])
    assert not Message.objects.exists()


def test_what_is_there_already_is_passed_over(conversation):
    known = conversation.address.identifiers.first()
    new = AddressIdentifier(
        inbox=conversation.inbox, address=conversation.address, kind="bsuid", value="RO.1"
    )
    again = AddressIdentifier(
        inbox=conversation.inbox, address=conversation.address, kind=known.kind, value=known.value
    )
    insert_missing([again, new])
    assert conversation.address.identifiers.filter(kind="bsuid").count() == 1
    assert conversation.address.identifiers.filter(kind=known.kind).count() == 1


def test_no_row_is_written_into_another_account(conversation):
    stranger = factories.make_account()
    with pytest.raises(Exception, match="row-level security"), transaction.atomic():
        insert_many([Team(account=stranger, name="theirs")])


def test_nothing_costs_nothing(conversation, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert insert_many([]) == []
        insert_missing([])


@pytest.mark.parametrize("moment", ["now", NOON.replace(tzinfo=None), NOON.date()])
def test_a_time_without_a_zone_is_refused_before_the_database_reads_it(conversation, moment):
    with pytest.raises(TypeError, match="no time with a zone"):
        insert_many([a_message(conversation, sent_at=moment)])
    assert not Message.objects.exists()


def test_a_text_that_waits_for_its_language_is_written_in_it(conversation):
    insert_many([a_message(conversation, text=gettext_lazy("Delivery"))])
    with translation.override("en"):
        assert Message.objects.get().text == "Delivery"
