"""The judge: pure functions over ledgers. What is promised is counted, and anything else is red.

Lost, reordered, and doubled without a mark must be 0 over every fault (delivery.md 0). A message that an
agent gets twice under the same wire id is allowed and counted, one under two wire ids never.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.chaos.ledgers import Books, Key, Seen, Stored

OPEN = frozenset({"pending", "in_flight", "retry_wait", "uncertain"})


@dataclass(frozen=True)
class Expectation:
    """What this fault leaves standing. Everything, unless a scenario says otherwise."""

    # Every acknowledged message reaches its agent, and the agent's echo reaches the customer.
    to_agent: bool = True
    to_customer: bool = True
    # A worker that was held up may bring an old event once more, after newer ones (F-08).
    late_repeats: bool = False
    # Deliveries that may stand open in the end, by kind (an agent that is away).
    may_stay_open: frozenset[str] = frozenset()


@dataclass
class Verdict:
    """What the judge found; `red` when a promise is broken."""

    lost: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    doubled_marked: list[str] = field(default_factory=list)
    doubled_unmarked: list[str] = field(default_factory=list)
    two_wire_ids: list[str] = field(default_factory=list)
    repeats: int = 0
    unverified: int = 0
    open_leases: int = 0
    over_patience: int = 0
    recovery: list[float] = field(default_factory=list)
    # What a scenario wanted to see beside the ledgers, and did not.
    missed: list[str] = field(default_factory=list)

    @property
    def red(self) -> bool:
        return bool(self.reasons)

    @property
    def reasons(self) -> list[str]:
        """Each broken promise in a few words, with the first example."""
        lists = {
            "lost": self.lost,
            "reordered": self.reordered,
            "doubled unmarked": self.doubled_unmarked,
            "two wire ids": self.two_wire_ids,
        }
        found = [f"{len(rows)} {name}: {rows[0]}" for name, rows in lists.items() if rows]
        counts = {
            "unverifiable requests": self.unverified,
            "open leases": self.open_leases,
            "conversations over patience": self.over_patience,
        }
        return [*found, *(f"{n} {name}" for name, n in counts.items() if n), *self.missed]


def judge(books: Books, expected: Expectation | None = None) -> Verdict:
    """Compare the ledgers of one scenario that has come to rest."""
    expected = expected or Expectation()
    marked, unmarked = doubled(books)
    return Verdict(
        lost=lost(books, expected),
        reordered=reordered(books, expected),
        doubled_marked=marked,
        doubled_unmarked=unmarked,
        two_wire_ids=two_wire_ids(books.seen),
        repeats=repeats(books.seen),
        unverified=sum(not one.verified_by for one in books.seen),
        open_leases=books.open_leases,
        over_patience=len(books.over_patience),
        recovery=recovery(books),
    )


def lost(books: Books, expected: Expectation) -> list[str]:
    """What the platform was thanked for and that did not come through, station by station."""
    acked = [one.key for one in books.sent if one.acked_at is not None]
    stations: list[tuple[str, set[Key]]] = [("in the database", _keys(_inbound(books.stored)))]
    if expected.to_agent:
        thanked = [one for one in books.seen if 200 <= one.status < 300]
        stations.append(("at the agent", _keys(thanked)))
    if expected.to_customer:
        stations.append(("at the customer", _keys(one for one in books.asked if one.taken)))
    missing = [
        f"{key[0]}:{key[1]} not {where}"
        for where, there in stations
        for key in acked
        if key not in there
    ]
    if books.unread:
        missing.append(f"{books.unread} receipts never read")
    open_ones = [
        one for one in books.brought if one.state in OPEN and one.kind not in expected.may_stay_open
    ]
    missing += [f"{one.kind} delivery {one.pk} still {one.state}" for one in open_ones]
    return missing


def reordered(books: Books, expected: Expectation) -> list[str]:
    """Per conversation and destination: in the database, at each agent, at the customer."""
    found = []
    stored = sorted(_inbound(books.stored), key=lambda one: one.pk)
    found += _falling("stored", [one.key for one in stored])
    taken = sorted((one for one in books.asked if one.taken), key=lambda one: one.at)
    found += _falling("at the customer", [one.key for one in taken])
    lanes: dict[tuple[str, str], list[Seen]] = defaultdict(list)
    for one in sorted(books.seen, key=lambda one: one.at):
        if not one.is_replay:
            lanes[one.endpoint, one.conversation].append(one)
    for (endpoint, conversation), requests in lanes.items():
        highest, known = -1, set[str]()
        for one in requests:
            late_repeat = one.wire_id in known
            known.add(one.wire_id)
            if one.sequence < highest and not (late_repeat and expected.late_repeats):
                found.append(
                    f"{conversation} at {endpoint}: {one.event_type} {one.sequence} after {highest}"
                )
            highest = max(highest, one.sequence)
    return found


def doubled(books: Books) -> tuple[list[str], list[str]]:
    """What the customer got twice: marked as possible in the database, and not. One fact that has two
    effects in the database is the second kind."""
    marked: list[str] = []
    unmarked: list[str] = []
    marks = {
        one.key for one in books.stored if one.possible_duplicate and one.direction != "inbound"
    }
    for key, n in Counter(one.key for one in books.asked if one.taken and one.key).items():
        if n > 1:
            text = f"{key[0]}:{key[1]} x {n}"
            (marked if key in marks and n == 2 else unmarked).append(text)
    for direction in ("inbound", "outbound"):
        rows = Counter(
            one.key for one in books.stored if one.direction == direction and one.key is not None
        )
        unmarked += [f"{key[0]}:{key[1]} {direction} x {n}" for key, n in rows.items() if n > 1]
    return marked, unmarked


def two_wire_ids(seen: Iterable[Seen]) -> list[str]:
    """One fact must reach one endpoint under one id, however often."""
    ids: dict[tuple[str, Key], set[str]] = defaultdict(set)
    for one in seen:
        if one.key is not None:
            ids[one.endpoint, one.key].add(one.wire_id)
    return [f"{key[0]}:{key[1]}" for (_endpoint, key), found in ids.items() if len(found) > 1]


def repeats(seen: Iterable[Seen]) -> int:
    """Requests beyond the first of each wire id."""
    return sum(n - 1 for n in Counter((one.endpoint, one.wire_id) for one in seen).values())


def recovery(books: Books) -> list[float]:
    """Seconds that messages waited for their agent after a fault was over, sorted; only those that the
    fault held up."""
    first: dict[Key, float] = {}
    for one in sorted(books.seen, key=lambda one: one.at):
        if one.key is not None:
            first.setdefault(one.key, one.at)
    waits = []
    for fault in books.faults:
        for message in books.sent:
            arrived = first.get(message.key)
            if fault.over is None or arrived is None or message.acked_at is None:
                continue
            if message.acked_at < fault.over and arrived > fault.at:
                waits.append(max(0.0, arrived - max(message.acked_at, fault.over)))
    return sorted(waits)


def _inbound(stored: Iterable[Stored]) -> list[Stored]:
    return [one for one in stored if one.direction == "inbound"]


def _keys(rows: Iterable[object]) -> set[Key]:
    return {key for one in rows if (key := getattr(one, "key", None)) is not None}


def _falling(where: str, keys: Sequence[Key | None]) -> list[str]:
    """First appearances whose number is lower than one that was there before."""
    found, highest, known = [], dict[str, int](), set[Key]()
    for key in keys:
        if key is None or key in known:
            continue
        known.add(key)
        conversation, n = key
        if n < highest.get(conversation, -1):
            found.append(f"{conversation}:{n} {where} after {highest[conversation]}")
        highest[conversation] = max(n, highest.get(conversation, -1))
    return found
