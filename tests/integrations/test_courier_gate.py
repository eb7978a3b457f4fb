"""What a courier remembers of endpoints and hosts, and what it does not take on (DL-90)."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from conversations.models import Delivery, Endpoint, Lane
from integrations.courier.claiming import Limit
from integrations.courier.database import Pool
from integrations.courier.gate import FULL_SECONDS, KNOWN_SECONDS, Gate
from integrations.courier.starting import host_of
from integrations.courier.work import Claim
from tests import factories
from tests.bench.sinks import black_hole
from tests.integrations.couriers import Reply, Server, courier, make_house, wait_for
from tests.integrations.test_courier_fairness import flood, waits
from tests.integrations.test_courier_limits import put_lanes

pytestmark = pytest.mark.usefixtures("clean_database")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def claims_of(endpoint: Endpoint, n: int, kind: str = "agent") -> list[Claim]:
    return [Claim(n, endpoint.account_id, kind, endpoint.pk, uuid4()) for n in range(n)]


def held_back(gate: Gate, claims: list[Claim], **about: Any) -> list[Claim]:
    async def run() -> Any:
        pool = Pool(1, "test")
        try:
            return await gate.hold_back(pool, claims, **about)
        finally:
            await pool.close()

    for claim in claims:
        gate.take(claim)
    return [one.claim for one in asyncio.run(run())]


def give_back(gate: Gate, claims: list[Claim]) -> None:
    for claim in claims:
        gate.give_back(claim)


@pytest.mark.parametrize("couriers", [1, 4, 70])
def test_dl_90_what_is_far_from_full_is_not_counted_by_the_claim(couriers: int) -> None:
    """Counting claims go one after the other, over all couriers."""
    gate, endpoint = Gate(2000), make_house().agent.endpoint
    claims = claims_of(endpoint, 10)
    assert held_back(gate, claims, couriers=couriers) == []
    counts = Limit("agent", endpoint.pk, 1000)
    assert gate.limits(couriers) == []
    give_back(gate, claims)
    held_back(gate, claims_of(endpoint, 750), couriers=couriers)
    assert gate.limits(couriers) == [counts]


def test_dl_90_what_bears_little_is_counted_until_it_is_not_used_for_a_while() -> None:
    clock, house = Clock(), make_house()
    gate, endpoint = Gate(2000, clock), house.agent.endpoint
    with house.inside():
        Endpoint.objects.filter(pk=endpoint.pk).update(max_in_flight=20)
    claims = claims_of(endpoint, 10)
    held_back(gate, claims)
    assert gate.limits(1) == [Limit("agent", endpoint.pk, 20)]
    clock.now += KNOWN_SECONDS + 1
    assert gate.limits(1) == [Limit("agent", endpoint.pk, 20)]  # calls are under way
    give_back(gate, claims)
    clock.now += KNOWN_SECONDS + 1
    assert gate.limits(1) == []


def test_dl_90_what_was_taken_without_counting_and_is_too_much_is_given_back() -> None:
    """Another courier holds the others; what was full is counted for a while."""
    clock, house = Clock(), make_house()
    gate, endpoint = Gate(2000, clock), house.agent.endpoint
    held_back(gate, claims_of(endpoint, 1))
    put_lanes(house.account, endpoint.pk, 1010)
    leased = Lane.all_accounts.filter(destination_id=endpoint.pk, kind="agent")
    leased.update(lease_token="6a1f0d52-8a35-4a0f-8b0e-3d8c6f0b7d11", due_at=None)
    claims = claims_of(endpoint, 20)
    assert held_back(gate, claims, couriers=4) == claims[10:]
    assert gate.limits(4) == [Limit("agent", endpoint.pk, 1000)]
    assert held_back(gate, claims_of(endpoint, 20), couriers=4, counted={endpoint.pk}) == []
    clock.now += FULL_SECONDS + 1
    assert gate.limits(4) == []


def test_dl_90_a_host_gets_half_of_the_slots_whoever_its_endpoints_belong_to() -> None:
    houses = [make_house("https://one.example/a"), make_house("https://one.example:443/b?c")]
    other = make_house("https://other.example/")
    gate = Gate(20)
    ones = [house.agent.endpoint for house in houses]
    assert held_back(gate, claims_of(ones[0], 6)) == []
    claims = claims_of(ones[1], 6)
    over = held_back(gate, claims)
    assert over == claims[:3:-1]
    give_back(gate, over)
    assert gate.limits(1) == [Limit("agent", one.pk, 0) for one in ones]
    assert held_back(gate, claims_of(other.agent.endpoint, 10)) == []
    give_back(gate, claims[:1])
    assert not [limit for limit in gate.limits(1) if limit.endpoint_id in {o.pk for o in ones}]


def test_dl_90_subscribers_of_a_host_get_half_of_theirs() -> None:
    webhook = factories.make_webhook(make_house().account, url="https://one.example/")
    assert len(held_back(Gate(40), claims_of(webhook, 10, "subscriber"))) == 5


def test_what_answers_behind_one_name_at_two_ports_is_two_hosts() -> None:
    assert host_of("https://A.example/x?y=1") == host_of("https://a.example:443") == "a.example:443"
    assert host_of("http://a.example:8080/") != host_of("http://a.example/")
    assert host_of("http://[::1/") == "http://[::1/"


def test_dl_90_dl_92_two_accounts_on_one_dead_host_leave_a_third_its_pace() -> None:
    with black_hole() as url, Server(lambda r: Reply()) as fast:
        noisy, quiet = [make_house(url), make_house(f"{url}b")], make_house(fast.url)
        for house in noisy:
            flood(house.account, [house.agent.endpoint])
        with courier(slots=40):
            wait_for(lambda: Delivery.all_accounts.filter(state="in_flight").count() >= 20)
            samples = waits(quiet, fast)
            under_way = Delivery.all_accounts.filter(state="in_flight").count()
    assert under_way <= 20
    assert samples[-1] < 2
