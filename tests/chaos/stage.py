"""The stage: the product, the stub platform and the stub agents together, and one scenario's view of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.bench.stack import call
from tests.chaos import houses
from tests.chaos.agent import AgentServer, StubAgent
from tests.chaos.brokers import Broker
from tests.chaos.customers import Customers
from tests.chaos.database import Database
from tests.chaos.houses import House
from tests.chaos.judge import Expectation, Verdict, judge
from tests.chaos.killer import Killer
from tests.chaos.ledgers import Asked, Books, Key
from tests.chaos.product import COURIER, Crew, Product
from tests.fakes.graph.server import Call, FakeGraph

T = TypeVar("T")
STATUSES = ("delivered",)
GAUGE_RATE, GAUGE_SECONDS = 20.0, 4.0
# Two messages a second any machine keeps up with.
SLOWEST_RATE = 2.0
# How long nothing may happen before it counts as rest.
QUIET_SECONDS = 0.7
STATUS_WAITS = (0.3, 0.7, 1.5, 3.0, 3.0, 3.0, 5.0, 5.0, 5.0, 5.0)


class Loop:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="chaos", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 300.0) -> T:
        return self.start(work).result(seconds)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


class World:
    """The foreign sides, which outlive the product; `attach` it before the first scenario."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.agents = AgentServer()
        self.loop.run(self.agents.start())
        self.graph = FakeGraph(
            app_secret=houses.APP_SECRET,
            numbers={},
            statuses=STATUSES,
            retry_delays=STATUS_WAITS,
        )
        self.graph.start()
        self.database = Database("")
        self._spare: list[House] = []
        # What share of their rate and length loads have, and what anything may take here anyway.
        self.pace, self.length, self.slack = 1.0, 1.0, 0.0
        # Where the product's database lives, when that is a disk that may be filled.
        self.small_disk: Path | None = None

    def attach(self, product: Product, directory: Path, broker: Broker | None = None) -> None:
        """Play on this product from now on."""
        self.product, self.directory = product, directory
        self.broker = broker or Broker()
        self.database.close()
        self.database.url = product.owner_url
        self._spare = []
        # Another database counts its houses from the beginning, and their numbers come again.
        self.graph.calls.clear()

    def house(self, spare: int = 1) -> House:
        """A house nobody has used; `spare` are made at once when there is none."""
        if not self._spare:
            self._spare = houses.make(
                self.product.environment, count=spare, agents_url=self.agents.url
            )
        house = self._spare.pop(0)
        self.graph.numbers[house.number_id] = house.waba
        self.graph.sender.callbacks[house.waba] = house.hook_url
        return house

    def calibrate(self) -> str:
        """See what this machine does at this hour without any fault: loads are slowed to what it keeps
        up with, and its slowest message is allowed to everything that has to be quick."""
        self._gauge()  # what is read and made ready once is not counted
        elapsed, self.slack = self._gauge()
        self.pace = min(1.0, GAUGE_SECONDS / elapsed)
        if self.pace < 1.0:
            _elapsed, self.slack = self._gauge()
        return (
            f"loads at {self.pace:.0%}; without a fault the slowest answer took {self.slack:.2f} s"
        )

    def _gauge(self) -> tuple[float, float]:
        """Seconds until a calm load was answered, and those of its slowest message."""
        stage = Stage(self, self.house())
        try:
            began = time.monotonic()
            with stage.load(conversations=10, rate=GAUGE_RATE, seconds=GAUGE_SECONDS):
                pass
            stage.wait_for(lambda: len(stage.answered()) == len(stage.customers.sent), 60)
            elapsed = time.monotonic() - began
            waits = [answered - acked for answered, acked in stage.answered()]
            stage.settle()
        finally:
            stage.close()
        return elapsed, max(waits, default=0.0)

    def close(self) -> None:
        self.database.close()
        self.loop.run(self.agents.stop())
        self.graph.stop()
        self.loop.close()


class Stage:
    """What one scenario plays with: a house of its own, its agent, its customers, and the killer."""

    def __init__(self, world: World, house: House) -> None:
        self.world, self.house = world, house
        self.graph, self.database = world.graph, world.database
        self.agent: StubAgent = world.agents.add(house.agent_name, first=house.agent_secret)
        self.all_agents = [self.agent]
        self.customers = Customers(house)
        self.killer = Killer(world.product, world.database)
        self.expected = Expectation()
        self.missed: list[str] = []
        self.notes: list[str] = []

    # --- Playing -----------------------------------------------------------------------------

    @contextmanager
    def load(
        self,
        *,
        conversations: int = 16,
        rate: float = 20.0,
        seconds: float = 8.0,
        names: Sequence[str] = (),
        first: int = 1,
    ) -> Iterator[list[str]]:
        """Customers write while the block runs; its end waits until all of it was taken."""
        names = list(names) or [self.customers.name() for _ in range(conversations)]
        talk = self.world.loop.start(
            self.customers.talk(
                names,
                rate=max(rate * self.world.pace, min(rate, SLOWEST_RATE)),
                seconds=seconds * self.world.length,
                first=first,
            )
        )
        try:
            yield names
        finally:
            talk.result(300)

    def say(self, name: str, n: int, text: str = "") -> None:
        """One message of a customer, taken when this returns."""
        self.world.loop.run(self.customers.say(name, n, text))

    def api(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        url = f"{self.world.product.url}/v1/{path}"
        return call(method, url, token=token or self.house.owner_token, body=body)

    def change_agent(self, **changes: Any) -> None:
        self.api("PATCH", f"agents/{self.house.agent_id}/", changes)

    def new_agent(self, name: str, **fields: Any) -> tuple[StubAgent, dict[str, Any]]:
        """One more agent of the house, and what the API says of it."""
        name = f"{name}{self.house.number}"
        url = f"{self.world.agents.url}/{name}"
        made = self.api("POST", "agents/", {"name": name, "url": url, **fields})
        agent = self.world.agents.add(name, first=made["secret"])
        self.all_agents.append(agent)
        return agent, made

    @contextmanager
    def more_couriers(self, count: int, **environment: str) -> Iterator[Crew]:
        """Couriers beside the product's own, started again at once when they die."""
        crew = Crew(
            COURIER,
            {**self.world.product.environment, **environment},
            self.world.directory / "crew.log",
            count=count,
        )
        began = time.time()
        crew.start()
        self.killer.crews.append(crew)
        try:
            self.wait_for(lambda: self.killer.has_courier(since=began), 30)
            yield crew
        finally:
            self.killer.crews.remove(crew)
            crew.stop()

    # --- Looking -----------------------------------------------------------------------------

    def calls(self) -> list[Call]:
        """What the channel was asked to send for this house."""
        path = f"/{self.house.number_id}/messages"
        return [
            one
            for one in self.graph.calls
            if one.path.endswith(path) and isinstance(one.body, dict) and "status" not in one.body
        ]

    def asked(self) -> list[Asked]:
        return [
            Asked(
                at=one.at,
                conversation=str(one.body.get("to", "")).removeprefix("+"),
                text=(one.body.get("text") or {}).get("body", ""),
                reference=one.body.get("biz_opaque_callback_data", ""),
                taken=bool(one.external_id),
                refused=one.refused,
            )
            for one in self.calls()
        ]

    def wait_for(
        self, condition: Callable[[], T], seconds: float = 15.0, *, every: float = 0.03
    ) -> T | None:
        """The first true value of `condition`; what it says in the end when the time is over."""
        end = time.monotonic() + seconds
        while not (found := condition()) and time.monotonic() < end:
            time.sleep(every)
        return found

    def answered(self) -> list[tuple[float, float]]:
        """When each message was first answered, and when it had been taken."""
        first: dict[Key, float] = {}
        for one in self.asked():
            if one.taken and one.key is not None:
                first.setdefault(one.key, one.at)
        return [
            (first[one.key], one.acked_at)
            for one in self.customers.sent
            if one.acked_at is not None and one.key in first
        ]

    def waits(self) -> list[float]:
        """Seconds from the thanks for each message to its agent's first sight of it, sorted."""
        first: dict[Key, float] = {}
        for one in self.agent.questions():
            if one.key is not None:
                first.setdefault(one.key, one.at)
        return sorted(
            first[one.key] - one.acked_at
            for one in self.customers.sent
            if one.acked_at is not None and one.key in first
        )

    def want_quick(self, seconds: float, limit: float, what: str) -> None:
        """`what` took `seconds`; it may take `limit`, and what this machine takes anyway."""
        allowed = limit + self.world.slack
        self.want(seconds <= allowed, f"{what} took {seconds:.1f} s, allowed are {allowed:.1f}")

    def want(self, condition: object, text: str) -> None:
        """Something that must be seen; `text` says what was not."""
        if not condition:
            self.missed.append(text)

    def note(self, text: str) -> None:
        """A figure for the report."""
        self.notes.append(text)

    def settle(self, seconds: float = 30.0) -> bool:
        """Wait until everything has come to its end, and no status comes after it for a while."""
        account, end = self.house.account_id, time.monotonic() + seconds
        while self.wait_for(lambda: self.database.is_quiet(account), end - time.monotonic()):
            time.sleep(QUIET_SECONDS)
            if self.database.is_quiet(account):
                return True
        return False

    # --- Judging -----------------------------------------------------------------------------

    def books(self) -> Books:
        account = self.house.account_id
        return Books(
            sent=self.customers.sent,
            seen=[one for agent in self.all_agents for one in agent.seen],
            asked=self.asked(),
            stored=self.database.stored(account),
            brought=self.database.brought(account),
            tried=self.database.tried(account),
            faults=self.killer.faults,
            unread=self.database.unread(account),
            open_leases=self.database.open_leases(account),
            over_patience=self.database.over_patience(account),
        )

    def verdict(self) -> Verdict:
        verdict = judge(self.books(), self.expected)
        verdict.missed = list(self.missed)
        return verdict

    def close(self) -> None:
        self.killer.close()
        self.world.loop.run(self.customers.close())
