"""What is measured (delivery.md 15), and counting it.

Every metric is declared here once: name, kind, help, labels. `count`, `observe` and `mark` cost an addition
in a dictionary; they may be called from any thread or loop, as often as things happen. What was added
since the last time is written to a table every few seconds, by whichever process counted it
(integrations/measures.py), so that one answer speaks for the whole installation and a restart resets
nothing. A process that is killed (kill -9) loses the counts of its last seconds, at most; a counter is
never too high but where the database took an addition and its answer was lost. Gauges that can be asked
for (what waits, what is under way) are not counted but asked, when somebody wants to know.

Labels hold words of ours, never a name, an address or an id: their combinations are few. Where the
operator wants it (`METRICS_PER_TENANT`), the counters that are marked so have the account's public id too.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ParamSpec, TypeVar

from django.conf import settings

from accounts.ids import encode

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
# A row of numbers: a metric's name (with its suffix, for parts of histograms) and its labels.
Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BOUNDS = tuple(str(one) for one in SECONDS)
ABOVE = "+Inf"
BUCKET, SUM = "_bucket", "_sum"
ACCOUNT = "account"


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class UndeclaredMetricError(LookupError):
    """A metric, or a label of one, that nobody declared."""


@dataclass(frozen=True, slots=True)
class Metric:
    """`zeros` are label values that are shown from the beginning: what appears with its first count has
    not risen in the eyes of Prometheus, and an alert on the very first one would stay silent."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    per_account: bool = False
    zeros: tuple[tuple[str, ...], ...] = ()


_AGENT_REASONS = ("agent_unreachable", "agent_rejected", "agent_timeout", "agent_disabled")
_SEND_REASONS = (
    "throttled", "transient", "ambiguous", "window_closed", "unreachable", "reauth", "policy",
    "invalid", "permanent",
)  # fmt: skip
_BREAKERS = (("closed",), ("open",), ("half_open",))

DECLARED: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "switchboard_ingest_total",
            Kind.COUNTER,
            "Items that platforms brought, by what the door did with them; a refused request is one.",
            ("source", "result"),
            per_account=True,
        ),
        Metric(
            "switchboard_ingest_seconds",
            Kind.HISTOGRAM,
            "From a webhook's whole body to the answer after its commit.",
        ),
        Metric(
            "switchboard_receipt_lag_seconds",
            Kind.HISTOGRAM,
            "From an item's commit to what it says being applied.",
        ),
        Metric(
            "switchboard_deliveries_total",
            Kind.COUNTER,
            "Deliveries that ended, by how: delivered, dead, canceled.",
            ("kind", "class", "outcome"),
            per_account=True,
        ),
        Metric(
            "switchboard_attempt_seconds",
            Kind.HISTOGRAM,
            "How long the other side took for an attempt, whatever came of it.",
            ("kind",),
        ),
        Metric(
            "switchboard_delivery_age_seconds",
            Kind.GAUGE,
            "For how long the lane that waits longest has been due, while nobody had it.",
            ("kind",),
        ),
        Metric(
            "switchboard_pending",
            Kind.GAUGE,
            "Deliveries that have not ended; of kind inbound, lanes with items to be read.",
            ("kind", "state"),
        ),
        Metric(
            "switchboard_dead_total",
            Kind.COUNTER,
            "Deliveries that were given up.",
            ("kind", "reason"),
            per_account=True,
            zeros=(
                *(("agent", reason) for reason in _AGENT_REASONS),
                *(("send", reason) for reason in _SEND_REASONS),
            ),
        ),
        Metric(
            "switchboard_uncertain",
            Kind.GAUGE,
            "Sends of which nobody knows yet whether they arrived.",
        ),
        Metric(
            "switchboard_breaker",
            Kind.GAUGE,
            "Endpoints by the state of their circuit breaker, looked at each minute.",
            ("state",),
            zeros=_BREAKERS,
        ),
        Metric(
            "switchboard_fallback_total",
            Kind.COUNTER,
            "Conversations that people got because an agent could not have them or did not answer.",
            ("reason",),
            per_account=True,
        ),
        Metric(
            "switchboard_unanswered_over_patience",
            Kind.GAUGE,
            "Customers who wait for an agent longer than allowed (DL-65), looked at each minute. Must be 0.",
            per_account=True,
        ),
        Metric(
            "switchboard_lease_reclaims_total",
            Kind.COUNTER,
            "Lanes taken back from couriers that died or took too long.",
        ),
        Metric(
            "switchboard_stale_results_total",
            Kind.COUNTER,
            "Attempts that ended after their lane had been given to another courier (DL-50).",
        ),
        Metric(
            "switchboard_duplicates_ignored_total",
            Kind.COUNTER,
            "Items that had been brought before and changed nothing (DL-13).",
            ("source",),
            per_account=True,
        ),
        Metric(
            "switchboard_sweep_last_success_timestamp",
            Kind.GAUGE,
            "When a courier last looked for work that is due, in seconds since 1970.",
        ),
        Metric(
            "switchboard_patrol_last_success_timestamp",
            Kind.GAUGE,
            "When a courier last looked after all accounts (each minute), in seconds since 1970.",
        ),
        Metric("switchboard_claim_seconds", Kind.HISTOGRAM, "How long claiming due lanes takes."),
        Metric(
            "switchboard_slots",
            Kind.GAUGE,
            "Requests that all living couriers together have under way (used) or room for (free).",
            ("state",),
        ),
    )
}


class Tally:
    """What this process has counted and not yet written. The one of the process is `tally`: whoever
    counts is somewhere inside a request or an attempt and has nobody to be handed another one by."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Series, float] = {}
        self._marks: dict[Series, float] = {}

    def add(self, counts: Iterable[tuple[Series, float]]) -> None:
        with self._lock:
            for series, n in counts:
                self._counts[series] = self._counts.get(series, 0.0) + n

    def mark(self, series: Series, value: float) -> None:
        with self._lock:
            self._marks[series] = max(value, self._marks.get(series, value))

    def take(self) -> tuple[dict[Series, float], dict[Series, float]]:
        """All counts and marks; they are no longer in here."""
        with self._lock:
            taken = self._counts, self._marks
            self._counts, self._marks = {}, {}
        return taken

    def put_back(self, counts: Mapping[Series, float], marks: Mapping[Series, float]) -> None:
        """What could not be written, for the next time."""
        self.add(counts.items())
        for series, value in marks.items():
            self.mark(series, value)


tally = Tally()


def count(name: str, n: float = 1, /, *, account: int | None = None, **labels: str) -> None:
    """Add `n` to a counter. `class_` is the label `class`. `account` counts only where it is declared."""
    if n and (metric := _declared(name, Kind.COUNTER, labels)):
        its = _series_labels(labels)
        if account is not None and metric.per_account and settings.METRICS_PER_TENANT:
            its = (*its, (ACCOUNT, encode("acc", account)))
        tally.add([((name, its), n)])


def observe(name: str, *seconds: float, **labels: str) -> None:
    """Add to a histogram."""
    if _declared(name, Kind.HISTOGRAM, labels):
        its = _series_labels(labels)
        counts: list[tuple[Series, float]] = [
            ((name + BUCKET, (*its, ("le", bucket_of(one)))), 1.0) for one in seconds
        ]
        tally.add([*counts, ((name + SUM, its), sum(seconds))])


def mark(name: str) -> None:
    """Set a time to now; of all processes' times the latest counts."""
    if _declared(name, Kind.GAUGE, {}):
        tally.mark((name, ()), time.time())


def timed(name: str) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Decorate a coroutine function: how long it takes goes into the histogram `name`, even if it fails."""

    def decorate(work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(work)
        async def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            started = time.perf_counter()
            try:
                return await work(*args, **kwargs)
            finally:
                observe(name, time.perf_counter() - started)

        return measured

    return decorate


def bucket_of(seconds: float) -> str:
    place = bisect_left(SECONDS, seconds)
    return BOUNDS[place] if place < len(BOUNDS) else ABOVE


def _declared(name: str, kind: Kind, labels: Mapping[str, str]) -> Metric | None:
    """The metric. A wrong name is a mistake of ours that tests find; it must not cost a delivery."""
    try:
        return _find(name, kind, tuple(labels))
    except UndeclaredMetricError as error:
        if settings.TESTING:
            raise
        logger.error("not counted: %s", error)
        return None


@functools.cache
def _find(name: str, kind: Kind, labels: tuple[str, ...]) -> Metric:
    """Asked thousands of times in a second, by a few dozen places."""
    metric, given = DECLARED.get(name), {label.rstrip("_") for label in labels}
    if metric is None or metric.kind != kind or given != set(metric.labels):
        raise UndeclaredMetricError(f"no {kind} {name} with labels {sorted(given)} is declared")
    return metric


def _series_labels(given: Mapping[str, str]) -> Labels:
    """In one order, whatever the order they were given in."""
    return tuple(sorted([(label.rstrip("_"), value) for label, value in given.items()]))
