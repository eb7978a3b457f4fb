"""Conversations are counted as they change; what is counted is always what there is."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import Count, Sum
from django.utils import timezone

from accounts.tenancy import account_context
from conversations import services
from conversations.errors import WrongStateError
from conversations.messages import Content
from conversations.models import Conversation, ConversationTally
from conversations.services.tallies import add_up
from conversations.tasks import add_up_tallies
from tests.factories import make_conversation, make_house, make_inbox, make_person, make_team

KEYS = ("inbox_id", "assignee_id", "team_id", "status")


def tallied() -> Counter[tuple[Any, ...]]:
    rows = ConversationTally.objects.values_list(*KEYS).annotate(Sum("n"))
    return Counter({tuple(row[:-1]): row[-1] for row in rows if row[-1]})


def there_are() -> Counter[tuple[Any, ...]]:
    rows = Conversation.objects.order_by().values_list(*KEYS).annotate(Count("pk"))
    return Counter({tuple(row[:-1]): row[-1] for row in rows})


def change(house: SimpleNamespace, one: Conversation, chance: random.Random) -> None:
    """Something that people or rules do to a conversation."""
    holders = [house.owner, house.person, house.agent.member, house.team]
    later = timezone.now() + timedelta(hours=1)
    acts: tuple[Callable[[], Any], ...] = (
        lambda: services.assign(one, to=chance.choice(holders), by=None),
        lambda: services.unassign(one, by=None),
        lambda: services.resolve(one, by=None),
        lambda: services.snooze(one, until=later, by=None),
        lambda: services.reopen(one, by=None),
    )
    with suppress(WrongStateError):
        chance.choice(acts)()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_to_them(house: SimpleNamespace, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - not a secret
    other = make_inbox(house.account)
    made = [make_conversation(chance.choice((house.inbox, other))) for _ in range(5)]
    for _ in range(25):
        one = Conversation.objects.get(pk=chance.choice(made).pk)
        change(house, one, chance)
        assert tallied() == there_are()
    add_up()
    assert tallied() == there_are()


def test_many_at_once_in_one_statement(house: SimpleNamespace) -> None:
    leaver = make_person(house.account, name="Lea")
    closed = make_team(house.account, "Closed")
    for n in range(6):
        made = make_conversation(house.inbox)
        services.assign(made, to=leaver if n % 2 else closed, by=None)
    Conversation.objects.filter(assignee=leaver).update(status="resolved")
    assert tallied() == there_are()
    Conversation.objects.filter(assignee=leaver).update(assignee=None)
    Conversation.objects.filter(team=closed).delete()
    assert tallied() == there_are()
    assert sum(tallied().values()) == 3


def test_what_was_said_counts_nothing(house: SimpleNamespace) -> None:
    """Only a change of what is counted is written: the path of a message pays nothing."""
    made = make_conversation(house.inbox)
    services.assign(made, to=house.owner, by=None)
    before = ConversationTally.objects.count()
    services.post_message(made, content=Content(text="Good morning"), author=house.owner)
    Conversation.objects.update(status="open")
    assert ConversationTally.objects.count() == before


def test_adding_up_leaves_one_row_for_each_and_none_for_nothing(house: SimpleNamespace) -> None:
    made = [make_conversation(house.inbox) for _ in range(4)]
    for one in made:
        services.resolve(one, by=None)
    expected = there_are()
    add_up()
    assert tallied() == expected
    assert ConversationTally.objects.count() == len(expected) == 1
    [kept] = ConversationTally.objects.values_list("pk", flat=True)
    add_up()
    assert [*ConversationTally.objects.values_list("pk", flat=True)] == [kept]


def test_each_account_has_its_own(house: SimpleNamespace) -> None:
    make_conversation(house.inbox)
    with account_context(house.outsider_account):
        make_conversation(make_inbox(house.outsider_account))
        assert sum(tallied().values()) == 1
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(DISTINCT account_id) FROM conversations_conversationtally")
            assert cursor.fetchone() == (1,)


def test_the_job_adds_up_for_every_account(house: SimpleNamespace) -> None:
    for _ in range(2):
        make_conversation(house.inbox)
    add_up_tallies()
    assert [*ConversationTally.objects.values_list("n", flat=True)] == [2]


def test_an_account_that_goes_takes_its_conversations_with_it(house: SimpleNamespace) -> None:
    account = house.outsider_account
    with account_context(account):
        make_conversation(make_inbox(account))
        account.delete()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert not there_are()
        assert not tallied()


@pytest.mark.usefixtures("clean_database")
def test_adding_up_while_others_count_and_add_up() -> None:
    house = make_house()
    made = [make_conversation(house.inbox) for _ in range(4)]
    failed: list[BaseException] = []
    over = threading.Event()

    def changing(one: Conversation) -> None:
        chance = random.Random(one.pk)  # noqa: S311 - not a secret
        for _ in range(40):
            with account_context(house.account):
                change(house, Conversation.objects.get(pk=one.pk), chance)

    def adding() -> None:
        while not over.is_set():
            with account_context(house.account):
                add_up()

    def run(work: Any, *given: Any) -> threading.Thread:
        def safely() -> None:
            try:
                work(*given)
            except BaseException as error:
                failed.append(error)
            finally:
                connections.close_all()

        thread = threading.Thread(target=safely)
        thread.start()
        return thread

    adders = [run(adding) for _ in range(2)]
    for changer in [run(changing, one) for one in made]:
        changer.join()
    over.set()
    for adder in adders:
        adder.join()
    assert failed == []
    with account_context(house.account):
        assert tallied() == there_are()
        add_up()
        assert tallied() == there_are()
        assert ConversationTally.objects.count() == len(there_are())
