"""What a run prints, as it goes, so that a long run shows where it is."""

from __future__ import annotations

import sys

from tests.bench.floors import insert_rate, notify_latency
from tests.bench.load import Journey, percentile
from tests.bench.stack import Stack


class Report:
    """Lines of (mark, measure, reached, aim, floor); the floors are those of the same run."""

    def __init__(self) -> None:
        # Durable 1 KB inserts per second, by clients; milliseconds from NOTIFY to LISTEN.
        self.inserts: dict[int, float] = {}
        self.notify_ms = 0.0

    def line(self, mark: str, what: str, figure: str, *, aim: str = "", floor: str = "") -> None:
        beside = ", ".join(
            f"{name} {text}" for name, text in (("aim", aim), ("floor", floor)) if text
        )
        self.note(f"{mark:<5} {what:<62} {figure:>26}{f'   ({beside})' if beside else ''}")

    def note(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def count(self, journey: Journey) -> None:
        self.note(f"      {journey_words(journey)}")

    def floors(self, stack: Stack) -> None:
        url = stack.owner_url
        self.inserts = {n: insert_rate(url, clients=n) for n in (1, 4, 16)}
        self.notify_ms = notify_latency(url)
        text = " / ".join(f"{rate:,.0f}" for rate in self.inserts.values())
        self.line("", "floor: durable 1 KB inserts, 1 / 4 / 16 clients", f"{text} per s")
        self.line("", "floor: NOTIFY → LISTEN, median", f"{self.notify_ms:.2f} ms")

    @property
    def insert_floor(self) -> str:
        return f"{max(self.inserts.values()):,.0f} inserts/s"


def pair(samples: list[float]) -> str:
    return f"{percentile(samples, 0.5):.1f} / {percentile(samples, 0.99):.1f} ms"


def journey_words(journey: Journey) -> str:
    lost = journey.lost()
    return (
        f"{len(journey.sent)} sent, {lost} lost, {journey.duplicates} doubled,"
        f" {journey.disorder} out of order, {journey.refused} refused"
    )
