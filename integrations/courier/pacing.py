"""Rate limits towards channels: which sends may go now, and how long the others wait (delivery.md 11).

Waiting for a place is no failed attempt, and other lanes go on meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.conf import settings

from accounts import limits
from accounts.limits import Granted, Limit
from conversations import channels
from conversations.channels import InboxConfig, Scope

Bucket = tuple[Limit, str]


class Wanted(NamedTuple):
    """A send that stands at the head of its lane."""

    inbox: InboxConfig
    conversation_id: int


def waits(wanted: Sequence[Wanted]) -> list[float]:
    """For each send 0 when it may go now, else the seconds until there is a place for it.

    Call it last before the attempts are opened: the buckets stay locked until the commit. The contact is
    asked before inbox and account, so that whoever writes to one customer too fast uses up nothing of
    the others'.
    """
    waiting = [0.0] * len(wanted)
    for scopes in (_contact, _inbox_and_account):
        going = [place for place, wait in enumerate(waiting) if not wait]
        buckets = {place: scopes(wanted[place]) for place in going}
        places = _Places(bucket for found in buckets.values() for bucket in found)
        for place, found in buckets.items():
            waiting[place] = max((places.take(bucket) for bucket in found), default=0.0)
    return waiting


def slow_down(one: Wanted, scope: Scope, *, seconds: float) -> None:
    """The platform says that we are too fast: nothing more of that scope for so long (DL-96)."""
    pace = _pace(one.inbox)
    key = _contact_key(one) if scope == Scope.CONTACT else _inbox_key(one)
    if (limit := pace.of(scope)) is not None:
        limits.empty(limit, key, seconds=seconds)


class _Places:
    """What the buckets gave for all of them together, handed out one by one."""

    def __init__(self, buckets: Iterable[Bucket]) -> None:
        self._granted: dict[Bucket, Granted] = limits.take_many(Counter(buckets))
        self._taken: Counter[Bucket] = Counter()

    def take(self, bucket: Bucket) -> float:
        """0, or the seconds until this one's turn: the later ones wait behind the earlier."""
        self._taken[bucket] += 1
        granted, limit = self._granted[bucket], bucket[0]
        behind = self._taken[bucket] - granted.n - 1
        return 0.0 if behind < 0 else granted.wait + behind / limit.per_second


def _contact(one: Wanted) -> list[Bucket]:
    limit = _pace(one.inbox).contact
    return [(limit, _contact_key(one))] if limit else []


def _inbox_and_account(one: Wanted) -> list[Bucket]:
    limit, per_account = _pace(one.inbox).inbox, settings.SENDS_PER_SECOND
    buckets = [(limit, _inbox_key(one))] if limit else []
    if per_account:
        account = Limit("send.account", per_account, per_account)
        buckets.append((account, str(one.inbox.account_id)))
    return buckets


def _pace(inbox: InboxConfig) -> channels.Pace:
    return channels.get(inbox.platform).pace(inbox)


def _inbox_key(one: Wanted) -> str:
    return str(one.inbox.id)


def _contact_key(one: Wanted) -> str:
    return f"{one.inbox.id}:{one.conversation_id}"
