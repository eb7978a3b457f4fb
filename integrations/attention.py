"""What somebody has to look at: dead letters, addresses and inboxes that do not work, people who wait.

One statement finds everything, because its number stands on every page of an owner or admin. Each
source is few rows behind an index of its own; what has been seen (`Dismissal`) is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.audit import audit
from accounts.models import Member
from accounts.tenancy import current_account_id
from agents.answers import page_of_agent
from agents.models import Agent
from conversations.models import Endpoint, Inbox
from integrations.models import Dismissal
from integrations.subscribers import services as subscribers
from integrations.tracing.lines import name_of

M = TypeVar("M", bound=Model)

# More than so many waiting customers are not counted.
MANY_WAITING = 100
# From then on, a customer who waits with nobody is an alarm on every page.
ALARM_AFTER = timedelta(minutes=10)
# What is so by somebody's wish is listed, but calls nobody.
QUIET = frozenset({"inbox_off", "endpoint_rests"})
# What is past, and can be put away; the others go when they are mended.
DISMISSIBLE = frozenset({"dead_letters", "failed_receipts"})

# Agents that were deleted leave a switched-off address. A customer waits with nobody when neither a
# member nor a team has the conversation, and nobody took it for two minutes (F-35). An address without a
# reason was switched off by hand.
_THINGS = """
SELECT 'waiting', 0::bigint, count(*), min(waiting_since) FROM (
    SELECT waiting_since FROM conversations_conversation
    WHERE account_id = %(account)s AND status = 'open' AND assignee_id IS NULL
      AND team_id IS NULL AND waiting_since < now() - interval '2 minutes'
    ORDER BY waiting_since LIMIT %(many)s) AS alone
HAVING count(*) > 0
UNION ALL
SELECT 'held', 0, count(*), min(created_at) FROM conversations_delivery
WHERE account_id = %(account)s AND state = 'held' HAVING count(*) > 0
UNION ALL
SELECT CASE WHEN state = 'needs_reauthorization' THEN 'inbox_reauth'
            WHEN state = 'disabled' THEN 'inbox_off'
            WHEN (health -> 'hooks' ->> 'refused_in_a_row')::int >= 3 THEN 'inbox_refused'
            ELSE 'inbox_test' END,
       id, 1, NULL
FROM conversations_inbox
WHERE account_id = %(account)s AND removed_at IS NULL
  AND (state <> 'active' OR (health -> 'hooks' ->> 'refused_in_a_row')::int >= 3
       OR health -> 'check' ->> 'state' = 'failed')
UNION ALL
SELECT CASE WHEN state = 'disabled' AND disabled_reason = '' THEN 'endpoint_rests'
            WHEN state = 'disabled' THEN 'endpoint_off'
            WHEN breaker <> 'closed' THEN 'breaker' ELSE 'failing' END,
       id, consecutive_failures,
       CASE WHEN state = 'disabled' THEN disabled_at
            WHEN breaker <> 'closed' THEN breaker_opened_at ELSE failing_since END
FROM conversations_endpoint endpoint
WHERE account_id = %(account)s AND deleted_at IS NULL
  AND (state = 'disabled' OR (state = 'enabled' AND (
       breaker <> 'closed' OR (kind = 'subscriber' AND consecutive_failures > 0))))
  AND NOT EXISTS (SELECT 1 FROM agents_agent
                  WHERE endpoint_id = endpoint.id AND agents_agent.state = 'deleted')
UNION ALL
SELECT 'dead_letters', dead.endpoint_id, count(*), max(finished_at)
FROM conversations_delivery dead
JOIN conversations_endpoint endpoint ON endpoint.id = dead.endpoint_id AND endpoint.deleted_at IS NULL
LEFT JOIN integrations_dismissal seen ON seen.account_id = %(account)s
     AND seen.kind = 'dead_letters' AND seen.subject_id = dead.endpoint_id
WHERE dead.account_id = %(account)s AND dead.state = 'dead'
  AND dead.schedule NOT IN ('once', 'notice')
  AND finished_at > greatest(now() - interval '30 days', seen.at)
  AND NOT EXISTS (SELECT 1 FROM conversations_delivery replay WHERE replay.replay_of_id = dead.id)
  AND NOT EXISTS (SELECT 1 FROM agents_agent
                  WHERE endpoint_id = dead.endpoint_id AND agents_agent.state = 'deleted')
GROUP BY dead.endpoint_id
UNION ALL
SELECT 'failed_receipts', receipt.inbox_id, count(*), max(received_at)
FROM integrations_receipt receipt
JOIN conversations_inbox inbox ON inbox.id = receipt.inbox_id AND inbox.removed_at IS NULL
LEFT JOIN integrations_dismissal seen ON seen.account_id = %(account)s
     AND seen.kind = 'failed_receipts' AND seen.subject_id = receipt.inbox_id
WHERE receipt.account_id = %(account)s AND receipt.state = 'failed'
  AND received_at > greatest(now() - interval '30 days', seen.at)
GROUP BY receipt.inbox_id
"""
ORDER = (
    "waiting", "held", "inbox_reauth", "inbox_refused", "endpoint_off", "breaker", "inbox_test",
    "failing", "dead_letters", "failed_receipts", "inbox_off", "endpoint_rests",
)  # fmt: skip
INBOX_KINDS = ("inbox_reauth", "inbox_refused", "inbox_test", "inbox_off", "failed_receipts")


class Thing(NamedTuple):
    """Something to look at: `subject_id` is the inbox or endpoint, 0 for the account; `number` how often,
    `since` when it began, or happened last."""

    kind: str
    subject_id: int
    number: int
    since: datetime | None

    @property
    def is_of_inbox(self) -> bool:
        return self.kind in INBOX_KINDS

    @property
    def is_of_endpoint(self) -> bool:
        return self.subject_id != 0 and not self.is_of_inbox


@dataclass(frozen=True, slots=True)
class Act:
    """What mends it: a page to go to, or with `fields` a form to post."""

    word: str
    url: str
    fields: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A thing in words: what it is, what that means, and what to do. `tone` as a chip's."""

    kind: str
    tone: str
    title: str
    meaning: str
    todo: str
    acts: Sequence[Act] = field(default=())
    since: datetime | None = None


def things() -> list[Thing]:
    """Everything in the account in context, the most urgent first, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_THINGS, {"account": current_account_id(), "many": MANY_WAITING})
        found = [Thing(*row) for row in cursor.fetchall()]
    return sorted(found, key=lambda thing: (ORDER.index(thing.kind), thing.subject_id))


def calling(found: Iterable[Thing]) -> int:
    """How many of them call for somebody: the number on the rail."""
    return sum(thing.kind not in QUIET for thing in found)


def alarm(found: Sequence[Thing]) -> Item | None:
    """What every page says: customers have waited for long and nobody has them (F-35), else that an address
    was switched off because it failed (DL-67), which nobody did on purpose."""
    long_ago = timezone.now() - ALARM_AFTER
    waiting = next((thing for thing in found if thing.kind == "waiting"), None)
    if waiting is not None and waiting.since is not None and waiting.since <= long_ago:
        return _waiting(waiting)
    return _switched_off(
        {thing.subject_id: thing for thing in found if thing.kind == "endpoint_off"}
    )


def _switched_off(off: Mapping[int, Thing]) -> Item | None:
    """The latest of these endpoints that was switched off by its failures, with the page about it."""
    if not off:
        return None
    failed = Endpoint.objects.select_related("agent__member").filter(pk__in=off)
    latest = failed.order_by("-disabled_at").first()
    if latest is None:
        return None
    item = _of_endpoint(off[latest.pk], latest)
    return replace(item, acts=[Act(_("See why"), _page_of(latest))])


def _page_of(endpoint: Endpoint) -> str:
    agent: Agent | None = getattr(endpoint, "agent", None)
    if agent is not None:
        return page_of_agent(agent)
    return subscribers.page_of_webhook(endpoint)


def _switch_on(endpoint: Endpoint) -> Act:
    agent: Agent | None = getattr(endpoint, "agent", None)
    if agent is not None:
        return Act(_("Switch on"), reverse("enable_agent", args=[agent.public_id]), {})
    path = reverse("switch_webhook", args=[endpoint.public_id])
    return Act(_("Switch on"), path, {"on": "1"})


def items() -> list[Item]:
    """The things in words, in four queries at most."""
    found = things()
    inboxes = _by_pk(
        Inbox.objects.defer("credentials_sealed"),
        {thing.subject_id for thing in found if thing.is_of_inbox},
    )
    endpoints = _by_pk(
        Endpoint.objects.select_related("agent__member"),
        {thing.subject_id for thing in found if thing.is_of_endpoint},
    )
    return [_in_words(thing, inboxes, endpoints) for thing in found]


def dismiss(kind: str, subject_id: int, *, by: Member) -> None:
    """Put away what has happened until now; what happens later is shown again.

    Raises `ValueError` for what is not past but still so.
    """
    if kind not in DISMISSIBLE:
        raise ValueError(kind)
    Dismissal.objects.update_or_create(
        kind=kind, subject_id=subject_id, defaults={"by": by, "at": timezone.now()}
    )
    audit("attention.dismissed", by=by, changes={"kind": kind})


def _by_pk(rows: QuerySet[M], wanted: Collection[int]) -> dict[int, M]:
    return {row.pk: row for row in rows.filter(pk__in=wanted)} if wanted else {}


# --- In words ------------------------------------------------------------------------------------


def _in_words(
    thing: Thing, inboxes: Mapping[int, Inbox], endpoints: Mapping[int, Endpoint]
) -> Item:
    if thing.is_of_inbox:
        return _of_inbox(thing, inboxes[thing.subject_id])
    if thing.is_of_endpoint:
        return _of_endpoint(thing, endpoints[thing.subject_id])
    return _waiting(thing) if thing.kind == "waiting" else _held(thing)


def _waiting(thing: Thing) -> Item:
    number = f"{thing.number}+" if thing.number == MANY_WAITING else str(thing.number)
    title = ngettext(
        "%(n)s customer waits and nobody has the conversation",
        "%(n)s customers wait and nobody has their conversations",
        thing.number,
    ) % {"n": number}
    return Item(
        thing.kind,
        "danger",
        title,
        _("No AI agent, person or team was there to take them, so they are in the queue."),
        _("Take them, or assign them; a fallback team on the inbox keeps this from happening."),
        [Act(_("Open the queue"), f"{reverse('home')}?tab=unassigned")],
        thing.since,
    )


def _held(thing: Thing) -> Item:
    title = ngettext(
        "%(n)d message may or may not have arrived",
        "%(n)d messages may or may not have arrived",
        thing.number,
    ) % {"n": thing.number}
    return Item(
        thing.kind,
        "danger",
        title,
        _(
            "The channel never said. It is not sent again by itself: the customer might get it twice."
        ),
        _("Ask the customer; whatever is said next in the conversation goes on from there."),
        [Act(_("See them"), f"{reverse('deliveries')}?state=held")],
        thing.since,
    )


def _of_inbox(thing: Thing, inbox: Inbox) -> Item:
    page, change = (
        reverse(name, args=[inbox.public_id]) for name in ("inbox_settings", "change_inbox")
    )
    name = {"name": inbox.name, "n": thing.number}
    tone, title, meaning, todo, act = {
        "inbox_reauth": (
            "danger", _("%(name)s needs new credentials"),
            _("The channel refuses the stored ones. What is written to customers waits."),
            _("Enter a new access token; what waits goes out then."),
            Act(_("New credentials"), change),
        ),
        "inbox_refused": (
            "danger", _("%(name)s refuses what the channel sends"),
            _("The last calls had a wrong signature, so none of them was taken in."),
            _("Compare the app secret with the platform's, and enter it again."),
            Act(_("Change the secret"), change),
        ),
        "inbox_test": (
            "warn", _("The connection test of %(name)s failed"),
            _("Messages may not arrive, or not be sent."),
            _("Mend the step that failed, then test again."),
            Act(_("See the test"), page),
        ),
        "inbox_off": (
            "", _("%(name)s is switched off"),
            _("Nothing comes in and nothing goes out. If that is meant so, all is well."),
            _("Switch it on when it should work again."),
            Act(_("Switch on"), reverse("switch_inbox", args=[inbox.public_id]), {"on": "1"}),
        ),
        "failed_receipts": (
            "warn",
            ngettext(
                "%(n)d item of %(name)s could not be read",
                "%(n)d items of %(name)s could not be read",
                thing.number,
            ),
            _("What the channel sent is kept with the reason; no message was made of it."),
            _("Look at the reasons; if a customer is concerned, write to them."),
            Act(_("See them"), f"{page}?receipts=failed"),
        ),
    }[thing.kind]  # fmt: skip
    acts = [act, *_dismissal(thing, inbox.public_id)]
    return Item(thing.kind, tone, title % name, meaning, todo, acts, thing.since)


def _of_endpoint(thing: Thing, endpoint: Endpoint) -> Item:
    public_id, error = endpoint.public_id, endpoint.last_error
    log = f"{reverse('deliveries')}?endpoint={public_id}"
    page = _page_of(endpoint)
    name = {"name": name_of(endpoint), "n": thing.number}
    tone, title, meaning, todo, act = {
        "endpoint_off": (
            "danger", _("%(name)s is switched off"),
            _("It gets nothing: %(why)s") % {"why": _(endpoint.disabled_reason)},
            _("Mend what is behind the address, then switch it on."),
            _switch_on(endpoint),
        ),
        "endpoint_rests": (
            "", _("%(name)s is switched off"),
            _("It gets nothing. If that is meant so, all is well."),
            _("Switch it on when it should work again."),
            _switch_on(endpoint),
        ),
        "breaker": (
            "danger", _("%(name)s fails again and again"),
            _("It is called only now and then, to see whether it works again: %(why)s")
            % {"why": error} if error
            else _("It is called only now and then, to see whether it works again."),
            _("Mend what is behind the address; it is used again by itself after two successes."),
            Act(_("See why"), page),
        ),
        "failing": (
            "warn", _("%(name)s did not take the latest events"),
            _("They are tried again for about three days: %(why)s") % {"why": error} if error
            else _("They are tried again for about three days."),
            _("Look at the answers and mend what is behind the address."),
            Act(_("See its deliveries"), log),
        ),
        "dead_letters": (
            "warn",
            ngettext(
                "%(n)d event for %(name)s was given up",
                "%(n)d events for %(name)s were given up",
                thing.number,
            ),
            _("Every try failed in the last 30 days, and nobody has sent them again."),
            _("Look at why; send again what is still needed, and put the rest away."),
            Act(_("See them"), f"{log}&state=dead"),
        ),
    }[thing.kind]  # fmt: skip
    acts = [act, *_dismissal(thing, public_id)]
    return Item(thing.kind, tone, title % name, meaning, todo, acts, thing.since)


def _dismissal(thing: Thing, public_id: str) -> list[Act]:
    if thing.kind not in DISMISSIBLE:
        return []
    fields = {"kind": thing.kind, "subject": public_id}
    return [Act(_("Put away"), reverse("dismiss_attention"), fields)]
