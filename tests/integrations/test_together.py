"""Work that waits together is done together, and what is odd by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from django.db import OperationalError

from conversations.models import Courier
from integrations.courier.desk import Desk
from integrations.courier.together import Together, together_or_alone
from tests.integrations.couriers import only_reading

pytestmark = pytest.mark.usefixtures("clean_database")


class Work:
    """Doubles numbers; remembers the batches, and can be held up in the first."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go_on = threading.Event()

    def __call__(self, key: int, things: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(things))
        self.go_on.wait(5)
        return [ValueError(thing) if thing < 0 else thing * 2 for thing in things]


def together(work, things, *, most=50):
    """The results of all things, given one after the other while the first is under way."""

    async def run(desk):
        ask = Together(desk, work, key_of=lambda thing: 1, most=most)
        asked = []
        for thing in things:
            asked.append(asyncio.create_task(ask(thing)))
            await asyncio.sleep(0.01)
        work.go_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    return at_a_desk(run)


def at_a_desk(run):
    desk = Desk(1, "test")
    try:
        return asyncio.run(run(desk))
    finally:
        desk.close()


def test_what_waits_while_one_is_under_way_goes_together():
    work = Work()
    assert together(work, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert work.batches == [[1], [2, 3, 4]]


def test_a_batch_is_never_larger_than_allowed():
    work = Work()
    together(work, range(8), most=3)
    assert [len(batch) for batch in work.batches] == [1, 3, 3, 1]


def test_who_asks_gets_the_error_of_its_own_thing_only():
    work = Work()
    results = together(work, [1, -2, 3])
    assert [results[0], results[2]] == [2, 6]
    assert isinstance(results[1], ValueError)


def test_work_that_breaks_as_a_whole_breaks_for_everybody_in_it_and_for_nobody_after():
    batches = []

    def work(key, things):
        batches.append(list(things))
        if 1 in things:
            raise RuntimeError("broken")
        return list(things)

    async def run(desk):
        ask = Together(desk, work, key_of=lambda thing: 1, most=1)
        return await asyncio.gather(ask(1), ask(2), return_exceptions=True)

    first, second = at_a_desk(run)
    assert isinstance(first, RuntimeError)
    assert second == 2


def test_while_the_database_is_away_it_is_asked_again():
    tries = []

    def work(key, things):
        tries.append(1)
        return [OperationalError("away")] if len(tries) < 3 else list(things)

    async def run(desk):
        return await Together(desk, work, key_of=lambda thing: 1, most=5)(7)

    assert at_a_desk(run) == 7
    assert len(tries) == 3


@pytest.mark.parametrize("surely", [True, False])
def test_a_server_that_only_reads_is_away_until_another_is_reached(surely):
    """As after a failover; the connection to it is dropped, and the next one reaches the new primary."""
    tries = []

    def enter(name):
        tries.append(name)
        return Courier.objects.create(host=name, pid=1)

    def enter_all(key, names):
        return together_or_alone(key, names, many=lambda key, names: {}, one=enter)

    async def run(desk):
        together = Together(desk, enter_all, key_of=lambda name: 1)
        with only_reading():
            work = desk.surely(enter, "waits") if surely else together("waits")
            waiting = asyncio.create_task(work)
            while len(tries) < 3 and not waiting.done():
                await asyncio.sleep(0.01)
        return await waiting

    assert at_a_desk(run).host == "waits"
    assert len(tries) >= 3


def test_accounts_go_each_in_a_batch_of_their_own_and_the_one_that_waits_longest_first():
    work = Work()

    async def run(desk):
        ask = Together(desk, work, key_of=lambda thing: thing // 10, most=5)
        asked = [asyncio.create_task(ask(thing)) for thing in (11, 21, 12, 31, 22)]
        work.go_on.set()
        return await asyncio.gather(*asked)

    assert at_a_desk(run) == [22, 42, 24, 62, 44]
    assert work.batches == [[11, 12], [21, 22], [31]]


def test_what_comes_just_when_a_run_has_ended_is_not_forgotten():
    work = Work()
    work.go_on.set()

    async def run(desk):
        ask = Together(desk, work, key_of=lambda thing: 1, most=5)
        # Each asks in the very turn of the loop in which the one before has its answer.
        for thing in range(200):
            async with asyncio.timeout(2):
                assert await ask(thing) == thing * 2

    at_a_desk(run)


def test_what_a_batch_leaves_is_done_by_itself():
    def many(key, things):
        return {place: "together" for place, thing in enumerate(things) if thing % 2}

    results = together_or_alone(1, [1, 2, 3], many=many, one=lambda thing: "alone")
    assert results == ["together", "alone", "together"]


def test_a_batch_that_breaks_is_done_one_by_one_and_only_the_broken_one_fails():
    def many(key, things):
        raise ValueError("one of them")

    def one(thing):
        if thing == 2:
            raise ValueError("this one")
        return thing

    first, second, third = together_or_alone(1, [1, 2, 3], many=many, one=one)
    assert (first, third) == (1, 3)
    assert isinstance(second, ValueError)
