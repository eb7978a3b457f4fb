"""How much one courier does at once, and for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from conversations.services import shares
from conversations.services.carrying import Waiting
from integrations.addresses import Policy
from integrations.courier.claiming import GROUPS
from integrations.courier.together import MOST
from integrations.courier.work import Claim, Room

REST_SLOTS = 64
STATUS_SLOTS = 64


@dataclass(frozen=True, slots=True)
class Options:
    """How much one courier does at once; from the settings unless given."""

    slots: int
    threads: int
    policy: Policy

    @classmethod
    def from_settings(cls) -> Options:
        return cls(settings.COURIER_HTTP_SLOTS, settings.COURIER_THREADS, Policy.from_settings())


class Slots:
    """The lanes that one courier has, by what they are for and by account. No group and no account gets more
    than its share (DL-90, DL-91)."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.used: Counter[tuple[str, int]] = Counter()
        self.tokens: set[UUID] = set()

    def take(self, claim: Claim) -> None:
        self.used[GROUPS[claim.kind], claim.account_id] += 1
        self.tokens.add(claim.token)

    def give_back(self, claim: Claim) -> None:
        self.tokens.discard(claim.token)
        key = (GROUPS[claim.kind], claim.account_id)
        self.used[key] -= 1
        if self.used[key] <= 0:
            del self.used[key]

    def rooms(self) -> dict[str, Room]:
        """What is left of each group."""
        slots = {
            "reading": self._options.threads * MOST,
            "statuses": STATUS_SLOTS,
            "live": self._options.slots,
            "subscribers": shares.of_subscribers(self._options.slots),
            "rest": min(REST_SLOTS, self._options.slots),
        }
        busy: Counter[str] = Counter()
        for (group, _account), n in self.used.items():
            busy[group] += n
        return {
            group: Room(max(0, n - busy[group]), shares.half(n) if group != "reading" else n)
            for group, n in slots.items()
        }

    def is_full(self, rooms: Mapping[str, Room]) -> bool:
        """Whether a group or an account gets nothing more before something ends."""
        return any(not room.free for room in rooms.values()) or any(
            n >= rooms[group].per_account for (group, _account), n in self.used.items()
        )

    def fit(self, waiting: Sequence[Waiting]) -> bool:
        """Whether there is a place for each of these, whatever else waits."""
        wanted = Counter((GROUPS[one.kind], one.account_id) for one in waiting)
        groups = Counter(GROUPS[one.kind] for one in waiting)
        rooms = self.rooms()
        return all(n <= rooms[group].free for group, n in groups.items()) and all(
            n + self.used[key] <= rooms[key[0]].per_account for key, n in wanted.items()
        )
