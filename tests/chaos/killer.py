"""The killer: breaks parts of the running product, and notes when, and when they worked again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.bench.stack import answers
from tests.chaos.database import Database
from tests.chaos.ledgers import Fault
from tests.chaos.product import Crew, Product, Whole

BELL, EVERYTHING = "switchboard courier bell", "switchboard%"


class Killer:
    """Acts on processes by role, and on connections by name."""

    def __init__(self, product: Product, database: Database) -> None:
        self.product = product
        self.database = database
        # As the app role: who may end connections of that role.
        self._app = Database(product.app_url)
        self.faults: list[Fault] = []
        # Couriers that a scenario runs beside the product's own.
        self.crews: list[Crew] = []

    def pids(self, role: str) -> list[int]:
        extra = [pid for crew in self.crews for pid in crew.pids()] if role == "worker" else []
        return [*self.product.pids(role), *extra]

    def send(self, role: str, number: signal.Signals) -> list[int]:
        """Send a signal to every process of a role; their pids."""
        found = self.pids(role)
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return found

    def kill(self, role: str, number: signal.Signals = signal.SIGKILL) -> Fault:
        """End every process of a role; `healed` waits until it works again."""
        fault = Fault(f"{number.name} {role}", time.time())
        self.faults.append(fault)
        if not self.send(role, number):
            raise RuntimeError(f"no {role} is running")
        return fault

    def healed(self, fault: Fault, role: str, seconds: float = 60.0) -> Fault:
        """Wait until the role works again and write the time into the fault."""
        works: Callable[[], bool] = {
            "web": lambda: answers(f"{self.product.url}/healthz"),
            "worker": lambda: self.has_courier(since=fault.at),
            "postmaster": lambda: answers(f"{self.product.url}/readyz"),
        }[role]
        end = time.monotonic() + seconds
        while not works():
            if time.monotonic() > end:
                raise TimeoutError(f"{role} did not come back within {seconds:.0f} s")
            time.sleep(0.05)
        fault.over = time.time()
        return fault

    def has_courier(self, *, since: float = 0.0) -> bool:
        """Whether a courier is at work that entered after `since`."""
        return bool(
            self.database.value(
                "SELECT count(*) FROM conversations_courier WHERE started_at > to_timestamp(%s)"
                " AND last_seen_at > now() - interval '5 seconds'",
                since,
            )
        )

    def cut(self, pattern: str) -> Fault:
        """End the connections whose name is like `pattern`, as a dying network would."""
        fault = Fault(f"connections {pattern} cut", time.time())
        fault.over = fault.at
        self.faults.append(fault)
        self._app.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE %s"
            " AND pid <> pg_backend_pid()",
            pattern,
        )
        return fault

    @contextmanager
    def no_postgres(self) -> Iterator[Fault]:
        """The server dies by kill -9 and stays away until the block ends."""
        product = self.product
        if not isinstance(product, Whole):
            raise TypeError("only the whole product has a server of its own")
        os.kill(product.supervisor, signal.SIGSTOP)
        try:
            yield self.kill("postmaster")
        finally:
            os.kill(product.supervisor, signal.SIGCONT)

    @contextmanager
    def no_workers(self) -> Iterator[Fault]:
        """Every worker dies and none is started again until the block ends."""
        product = self.product
        if not isinstance(product, Whole):
            raise TypeError("only the whole product has a supervisor")
        os.kill(product.supervisor, signal.SIGSTOP)
        try:
            fault = self.kill("worker")
            yield fault
        finally:
            os.kill(product.supervisor, signal.SIGCONT)
        self.healed(fault, "worker")

    @contextmanager
    def paused(self, role: str) -> Iterator[list[int]]:
        """Every process of the role stands still until the block ends."""
        fault = Fault(f"SIGSTOP {role}", time.time())
        self.faults.append(fault)
        found = self.send(role, signal.SIGSTOP)
        try:
            yield found
        finally:
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            fault.over = time.time()

    def close(self) -> None:
        self._app.close()
