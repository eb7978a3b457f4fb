"""Erasing a contact (SX-101, F-32): nothing of what was said is left, and nothing more is sent."""

from __future__ import annotations

import io
import json
import logging
import zlib
from datetime import timedelta
from threading import Thread
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from psycopg import sql

from accounts.models import AuditEntry
from accounts.permissions import TABLE, Permission, Role
from accounts.tenancy import account_context
from agents.models import AssignmentRule
from conversations import services
from conversations.messages import Content
from conversations.models import (
    AddressIdentifier,
    Attachment,
    Attempt,
    Contact,
    Conversation,
    Delivery,
    Endpoint,
    InboxRoute,
    Lane,
    Message,
    Timer,
)
from conversations.services import outbox
from conversations.services.erasing import erase_latecomers
from integrations.models import Receipt
from tests import factories
from tests.api import caller, code_of
from tests.integrations.couriers import Reply, Server, courier, make_house, says, takes, wait_for
from tests.integrations.test_courier_reading import bring, said

pytestmark = pytest.mark.usefixtures("clean_database")

State = Delivery.State
SECRET = "sekret-wort"


@pytest.fixture
def desk():
    """A house with a door, an agent that echoes, and Ana, of whom everything that can be known is."""
    with (
        Server(lambda request: Reply(body=says(f"echo {SECRET}"))) as agent,
        Server(takes) as channel,
    ):
        house = make_house(agent_url=agent.url, channel_url=channel.url)
        with house.inside():
            house.inbox.credentials = {"secret": "s3cret", "token": InboxRoute.new_token()}
            house.inbox.save()
            InboxRoute.objects.create(
                account=house.account,
                inbox_id=house.inbox.pk,
                platform="paper",
                token_sha256=InboxRoute.digest(house.inbox.credentials["token"]),
            )
            AssignmentRule.objects.create(
                name="To the agent",
                condition={"field": "text", "op": "contains", "value": "word"},
                actions=[{"type": "assign", "member": house.agent.member.public_id}],
            )
        bring(house, said("m1", f"my word is {SECRET}", SECRET))
        with courier():
            wait_for(lambda: Delivery.all_accounts.filter(kind="send", state="delivered").exists())
        yield SimpleNamespace(
            agent=house.agent, inbox=house.inbox, inside=house.inside, told=agent, channel=channel
        )


def conversation_of(house: Any) -> Conversation:
    with house.inside():
        return Conversation.objects.select_related("contact").get()


def numbers(house: Any) -> int:
    with house.inside():
        return Conversation.objects.count()


def rows_that_know(secret: str) -> set[str]:
    """Every table of ours that holds `secret` anywhere: in a column, a sealed body or a packed one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            " AND table_name ~ '^(conversations|integrations|agents|accounts)_'"
        )
        tables = [row[0] for row in cursor.fetchall()]
        found = set()
        for table in tables:
            question = sql.SQL("SELECT count(*) FROM {} t WHERE t::text LIKE %s")
            cursor.execute(question.format(sql.Identifier(table)), [f"%{secret}%"])
            if cursor.fetchone()[0]:
                found.add(table)
    bodies = [delivery.body for delivery in Delivery.objects.all()]
    bodies += [
        zlib.decompress(bytes(one.body_packed)) for one in Receipt.objects.exclude(body_packed=b"")
    ]
    if any(secret.encode() in body for body in bodies):
        found.add("bodies")
    return found


def test_sx_101_nothing_of_what_was_said_is_left_anywhere_and_the_numbers_stay(desk):
    conversation = conversation_of(desk)
    with desk.inside():
        services.update_contact(
            conversation.contact,
            by=desk.agent.member,
            name=f"Ana {SECRET}",
            attributes={"k": SECRET},
        )
        services.set_attributes(conversation, {"order": SECRET}, by=desk.agent.member)
        services.hand_off(
            conversation, by=None, detail=f"because {SECRET}", summary=f"she said {SECRET}"
        )
        services.add_note(conversation, text=f"note {SECRET}", author=None)
        services.keep_unsent(conversation, text=SECRET, by=desk.agent.member)
        path = default_storage.save("erasing/file.txt", ContentFile(SECRET.encode()))
        message = Message.objects.filter(conversation=conversation)[0]
        Attachment.objects.create(
            message=message, kind="document", path=path, filename=f"{SECRET}.txt", state="ready"
        )
        counts = (Message.objects.count(), Delivery.objects.count(), Receipt.objects.count())
        assert rows_that_know(SECRET) >= {
            "bodies",
            "conversations_message",
            "conversations_contact",
            "conversations_addressidentifier",
            "conversations_lane",
            "conversations_attempt",
            "conversations_event",
            "agents_decision",
            "conversations_attachment",
            "conversations_assignment",
            "conversations_unsenttext",
        }

        services.erase_contact(conversation.contact, by=desk.agent.member)

        assert rows_that_know(SECRET) == set()
        assert (Message.objects.count() - 1, Receipt.objects.count()) == (counts[0], counts[2])
        assert Delivery.objects.count() >= counts[1]
        contact = Contact.objects.get()
        assert (str(contact), contact.phone, contact.attributes) == ("Erased customer", "", {})
        assert AuditEntry.objects.filter(action="contact.erased").exists()
        services.erase_contact(contact, by=desk.agent.member)  # twice is once
        assert AuditEntry.objects.filter(action="contact.erased").count() == 1
    assert not default_storage.exists(path)


def test_f_32_what_waits_is_canceled_and_no_later_send_is_made(desk):
    """Queued sends, a retry, an uncertain one and their timers: all canceled; the agent forgets too."""
    conversation = conversation_of(desk)
    with desk.inside():
        for text in ("one", "two", "three"):
            services.post_message(conversation, content=Content(text=text), author=None)
        waiting = Delivery.objects.filter(kind="send", state=State.PENDING)
        first, second = waiting.order_by("id")[:2]
        Delivery.objects.filter(pk=first.pk).update(state=State.RETRY_WAIT)
        services.erase_contact(conversation.contact, by=desk.agent.member)
        assert not waiting.exists()
        assert Delivery.objects.get(pk=second.pk).dead_reason == "erased"
        assert not Timer.objects.exists()
    sent = len(desk.channel.requests)
    heard = len(desk.told.requests)
    with courier():
        wait_for(lambda: len(desk.told.requests) > heard)
        wait_for(lambda: not Lane.all_accounts.filter(due_at__isnull=False).exists())
    assert len(desk.channel.requests) == sent
    last = desk.told.requests[-1].json
    assert last["type"] == "contact.erased"
    assert SECRET not in json.dumps(last)
    assert last["contact"]["id"] == conversation.contact.public_id


def test_f_32_an_agent_that_is_down_for_longer_than_its_patience_hears_of_it_later(desk):
    """Whatever it says meanwhile, and however often: its breaker is no reason to give up."""
    conversation = conversation_of(desk)
    erased = Delivery.all_accounts.filter(event_type="contact.erased")
    desk.told.answer = lambda request: Reply(404)
    with desk.inside():
        services.erase_contact(conversation.contact, by=desk.agent.member)
    assert erased.get().schedule == "durable"
    assert erased.get().deadline_at is None

    def is_due():
        erased.filter(state=State.RETRY_WAIT).update(due_at=timezone.now())
        Lane.all_accounts.filter(deliveries__in=erased, lease_token__isnull=True).update(
            due_at=timezone.now()
        )
        outbox.ring(Lane.Kind.AGENT)

    def shut(state, probe_at=None):
        with desk.inside():
            Endpoint.objects.update(breaker=state, probe_at=probe_at)

    with courier():
        wait_for(lambda: erased.get().attempts == 1 and erased.get().state == State.RETRY_WAIT)
        shut("open", timezone.now() + timedelta(hours=1))
        is_due()
        refused = Attempt.all_accounts.filter(delivery__in=erased, outcome="breaker_open")
        wait_for(refused.exists)
        wait_for(lambda: erased.get().state == State.RETRY_WAIT)
        assert erased.get().attempts == 1
        assert erased.get().due_at > timezone.now() + timedelta(minutes=4)
        desk.told.answer = lambda request: Reply()
        shut("closed")
        is_due()
        wait_for(lambda: erased.get().state == State.DELIVERED)
    assert desk.told.requests[-1].json["type"] == "contact.erased"


def test_f_32_a_send_that_was_under_way_is_not_tried_again(desk):
    desk.channel.answer = lambda request: Reply(500, b"{}", after=0.5)
    conversation = conversation_of(desk)
    with desk.inside():
        services.post_message(conversation, content=Content(text="under way"), author=None)
    sends = Delivery.all_accounts.filter(kind="send")
    with courier():
        wait_for(lambda: sends.filter(state=State.IN_FLIGHT).exists())
        with desk.inside():
            services.erase_contact(conversation.contact, by=desk.agent.member)
        wait_for(
            lambda: (
                not sends.filter(state__in=Delivery.OPEN_STATES).exclude(state="uncertain").exists()
            )
        )
        asked = len(desk.channel.requests)
        wait_for(lambda: not Lane.all_accounts.filter(due_at__isnull=False).exists())
    assert len(desk.channel.requests) == asked
    with desk.inside():
        AddressIdentifier.objects.create(
            inbox=desk.inbox, address=conversation.address, kind="late", value=SECRET
        )
        assert erase_latecomers() == 1
        assert rows_that_know(SECRET) == set()


def test_f_32_erasing_never_waits_for_a_courier_that_waits_for_it(desk, server_url):
    """A courier holds the receipt that it reads and waits for the conversation, which is being erased."""
    conversation = conversation_of(desk)
    for key in ("m2", "m3"):
        bring(desk, said(key, f"my word is {SECRET}", SECRET))
    url = psycopg.conninfo.make_conninfo(server_url, dbname=connection.settings_dict["NAME"])
    with psycopg.connect(url) as reader, desk.inside():
        reader.execute(
            "SELECT FROM integrations_receipt WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE"
        )
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
        services.erase_contact(conversation.contact, by=desk.agent.member)
        receipts = Receipt.objects.order_by("id")
        assert list(receipts.filter(state="new").values_list("dedupe_key", flat=True)) == ["m:m2"]
        assert not receipts.exclude(state="new").exclude(body_packed=b"").exists()


def test_f_32_what_is_read_while_its_contact_is_erased_is_told_to_nobody():
    """Who reads it knows the contact from before, and waits for the conversation, which is erased."""
    house = make_house()
    conversation = factories.make_conversation(house.inbox, visitor="ana")
    results: list[str] = []

    def read() -> None:
        try:
            with house.inside():
                word = factories.said(f"my word is {SECRET}", visitor="ana")
                results.append(services.receive(house.inbox, word))
        finally:
            connection.close()

    reader = Thread(target=read)
    with house.inside():
        services.erase_contact(conversation.contact, by=house.agent.member)
        before = Delivery.objects.count()
        reader.start()
        wait_for(somebody_waits_for_a_lock)
    reader.join(10)
    assert results == ["ignored: the contact has been erased"]
    with house.inside():
        assert rows_that_know(SECRET) == set()
        assert Delivery.objects.count() == before


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def test_dl_16_a_late_repetition_brings_nothing_back(desk):
    """Its key is known as long as keys are kept, although nothing else of it is."""
    desk.told.answer = lambda request: Reply()
    conversation = conversation_of(desk)
    with desk.inside():
        services.erase_contact(conversation.contact, by=desk.agent.member)
        before = list(Receipt.objects.values("dedupe_key", "state", "received_at"))
        assert "m:m1" in {one["dedupe_key"] for one in before}
    bring(desk, said("m1", f"my word is {SECRET}", SECRET))
    with courier():
        wait_for(lambda: not Lane.all_accounts.filter(due_at__isnull=False).exists())
    with desk.inside():
        assert list(Receipt.objects.values("dedupe_key", "state", "received_at")) == before
        assert rows_that_know(SECRET) == set()


def test_sx_101_who_was_erased_after_a_backup_is_erased_again_from_the_log(
    desk, caplog, monkeypatch
):
    contact = conversation_of(desk).contact
    with desk.inside(), caplog.at_level(logging.INFO):
        services.update_contact(contact, by=desk.agent.member, name=f"Ana {SECRET}")
        services.erase_contact(contact, by=desk.agent.member)
    [line] = [one for one in caplog.messages if "contact erased" in one]
    assert SECRET not in line
    with desk.inside():  # as a backup has it
        Contact.objects.update(name=f"Ana {SECRET}", erased_at=None)
    for _ in range(2):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"12:00 INFO {line}\nanother line\n"))
        call_command("erase_again")
    with desk.inside():
        assert Contact.objects.get().name == ""
        assert rows_that_know(SECRET) == set()


def test_whoever_writes_again_is_somebody_new(desk):
    old = conversation_of(desk)
    with desk.inside():
        services.erase_contact(old.contact, by=desk.agent.member)
    bring(desk, said("m2", "it is me again", SECRET))
    with courier():
        wait_for(lambda: numbers(desk) == 2)
    with desk.inside():
        assert Conversation.objects.exclude(pk=old.pk).get().contact_id != old.contact_id


def test_owners_and_admins_erase_by_rest_and_nobody_else():
    """Security matrix: contacts: export, merge, erase."""
    house = factories.make_house()
    conversation = factories.make_conversation(house.inbox)
    with account_context(house.account.pk):
        address = f"/v1/contacts/{conversation.contact.public_id}/"
    assert {role for role in Role if Permission.CONTACTS_ERASE in TABLE[role]} == {
        Role.OWNER,
        Role.ADMIN,
    }
    assert code_of(caller(house.person).delete(address)) == "permission_denied"
    assert caller(house.admin).delete(address).status_code == 204
    assert caller(house.owner).get(address).json()["erased_at"]
