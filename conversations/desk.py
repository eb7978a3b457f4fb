"""The list beside the thread: which conversations, in which order, and how a row looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from accounts import ids
from accounts.models import Member, Team
from accounts.paging import first_of
from conversations.models import Conversation, Inbox, Label
from conversations.thread import kind_label

PAGE = 25
# Above this the list is paged for good: nobody scrolls through thousands of live rows.
MOST = 200
MANY = 100
STATUSES = ("open", "snoozed", "resolved", "any")


@dataclass(frozen=True, slots=True)
class Tab:
    slug: str
    label: str
    count: str
    url: str
    current: bool


@dataclass(frozen=True, slots=True)
class Query:
    """What the list shows; everything of it stands in the address."""

    tab: str = "all"
    status: str = "open"
    text: str = ""
    inbox: str = ""
    team: str = ""
    label: str = ""
    size: int = PAGE
    before: str = ""

    NAMES = {"tab": "tab", "status": "status", "text": "q", "inbox": "inbox", "team": "team",
             "label": "label", "before": "before"}  # fmt: skip

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Query:
        """From a query string; what makes no sense is the default."""
        tab, status = values.get("tab", "all"), values.get("status", "open")
        size = values.get("size", "")
        return cls(
            tab=tab if tab in ("mine", "unassigned", "ai", "all") else "all",
            status=status if status in STATUSES else "open",
            text=values.get("q", "").replace("\x00", "").strip()[:100],
            inbox=values.get("inbox", ""),
            team=values.get("team", ""),
            label=values.get("label", ""),
            size=min(max(int(size), PAGE), MOST) if size.isdecimal() and len(size) < 9 else PAGE,
            before=values.get("before", ""),
        )

    def string(self, **changes: Any) -> str:
        """The query string, with `changes`; defaults are left out."""
        values = {name: getattr(self, name) for name in self.NAMES} | changes
        default = Query()
        pairs = [
            (self.NAMES[name], value)
            for name, value in values.items()
            if name in self.NAMES and value and value != getattr(default, name)
        ]
        if (size := changes.get("size", self.size)) != PAGE:
            pairs.append(("size", size))
        return "?" + urlencode(pairs) if pairs else ""

    @property
    def narrowed(self) -> bool:
        """Whether anything beyond the tab narrows the list."""
        return self.status != "open" or any((self.text, self.inbox, self.team, self.label))


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation in the list."""

    id: str
    url: str
    name: str
    seed: int
    preview: str
    icon: str
    ours: bool
    at: datetime
    unread: int
    inbox: str
    holder: str
    # ai, person, team or none
    holder_kind: str
    labels: tuple[str, ...] = ()
    more_labels: int = 0
    waiting_since: datetime | None = None
    status: str = "open"
    snoozed_until: datetime | None = None
    current: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    rows: tuple[Row, ...]
    # The next page grows the list (size) until MOST, then starts behind a cursor.
    more: str = ""
    query: Query = field(default_factory=Query)


ICONS = {
    "image": "photo", "audio": "musical-note", "voice": "microphone", "video": "video-camera",
    "document": "document", "sticker": "face-smile", "location": "map-pin",
    "contacts": "identification", "order": "shopping-bag", "unsupported": "question-mark-circle",
    "carousel": "squares-2x2", "form": "clipboard-document-list", "input": "pencil-square",
    "articles": "document-text", "form_reply": "clipboard-document-check",
    "template": "document-text",
}  # fmt: skip


def listing(query: Query, viewer: Member, *, current: str = "") -> Listing:
    """One page of the list, by key, so that any depth costs the same (performance.md)."""
    found = _before(filtered(query, viewer), query.before)
    page = list(first_of(found.for_list(), query.size + 1))
    shown = page[: query.size]
    more = ""
    if len(page) > query.size:
        more = (
            query.string(size=query.size + PAGE)
            if query.size + PAGE <= MOST
            else query.string(before=cursor_of(shown[-1]), size=PAGE)
        )
    rows = tuple(row_of(conversation, query, current=current) for conversation in shown)
    return Listing(rows=rows, more=more, query=query)


def filtered(query: Query, viewer: Member) -> Any:
    """The conversations that `query` means for `viewer`, newest first."""
    found = _in_tab(query.tab, viewer)
    if query.status != "any":
        found = found.filter(status=query.status)
    for name, prefix, column in (
        ("inbox", "inb", "inbox_id"),
        ("team", "tem", "team_id"),
        ("label", "lab", "labels"),
    ):
        if value := getattr(query, name):
            found = found.filter(**{column: _key(prefix, value)})
    if query.text:
        found = found.filter(matches(query.text))
    return found.recent_first()


def find(text: str, viewer: Member, *, limit: int = 8) -> list[Conversation]:
    """For the palette: conversations whose customer, number or last words match."""
    every = Conversation.objects.visible_to(viewer)
    found = every.filter(matches(text)) if text else every
    return list(first_of(found.recent_first().for_list(), limit))


def matches(text: str) -> Q:
    """What a search for `text` looks at: customer, number, last words."""
    found = (
        Q(contact__name__icontains=text)
        | Q(contact__phone__contains=text.replace(" ", ""))
        | Q(contact__email__icontains=text)
        | Q(preview__icontains=text)
    )
    number = text.removeprefix("#")
    return found | Q(number=int(number)) if number.isdecimal() and len(number) < 9 else found


def _in_tab(tab: str, viewer: Member) -> Any:
    every = Conversation.objects.visible_to(viewer)
    if tab == "mine":
        return every.held_by(viewer)
    if tab == "unassigned":
        return every.unassigned()
    return every.with_ai() if tab == "ai" else every


def _key(prefix: str, public_id: str) -> int:
    """The integer behind an id of the address; 0, which no row has, when it is none."""
    try:
        return ids.decode(prefix, public_id)
    except ValueError:
        return 0


def cursor_of(conversation: Conversation) -> str:
    return f"{conversation.last_activity_at.isoformat()}~{conversation.public_id}"


def _before(found: QuerySet[Conversation], cursor: str) -> Any:
    moment, _tilde, public_id = cursor.partition("~")
    try:
        at = parse_datetime(moment) if public_id else None
    except ValueError:
        at = None
    if at is None or timezone.is_naive(at):
        return found
    return found.filter(
        Q(last_activity_at__lt=at) | Q(last_activity_at=at, pk__lt=_key("cnv", public_id))
    )


def tabs(query: Query, viewer: Member) -> list[Tab]:
    """The four tabs with the number of open conversations in each, counted up to a hundred."""
    labels = {
        "mine": _("Mine"),
        "unassigned": _("Unassigned"),
        "ai": _("AI"),
        "all": _("All"),
    }
    return [
        Tab(
            slug=slug,
            label=label,
            count=_count(slug, viewer),
            url="/" + query.string(tab=slug, before="", size=PAGE),
            current=slug == query.tab,
        )
        for slug, label in labels.items()
    ]


def _count(tab: str, viewer: Member) -> str:
    found = _in_tab(tab, viewer).open().order_by()[:MANY].count()
    return str(found) if found < MANY else f"{MANY - 1}+"


def row_of(conversation: Conversation, query: Query, *, current: str = "") -> Row:
    holder, kind = holder_of(conversation)
    labels = conversation.label_names
    wordless = conversation.preview in ("", conversation.preview_kind)
    return Row(
        id=conversation.public_id,
        url=f"/inbox/{conversation.public_id}/{query.string()}",
        name=str(conversation.contact),
        seed=conversation.contact_id,
        preview=kind_label(conversation.preview_kind)
        if wordless and conversation.preview_kind
        else conversation.preview,
        icon=ICONS.get(conversation.preview_kind, ""),
        ours=conversation.preview_direction == "outbound",
        at=conversation.last_activity_at,
        unread=conversation.unread_count,
        inbox=conversation.inbox.name,
        holder=holder,
        holder_kind=kind,
        labels=tuple(labels[:2]),
        more_labels=max(0, len(labels) - 2),
        waiting_since=conversation.waiting_since,
        status=conversation.status,
        snoozed_until=conversation.snoozed_until,
        current=conversation.public_id == current,
    )


def holder_of(conversation: Conversation) -> tuple[str, str]:
    """Who has it: a name, and ai, person, team or none."""
    if conversation.assignee is not None:
        return conversation.assignee.name, "ai" if conversation.assignee.is_agent else "person"
    if conversation.team is not None:
        return conversation.team.name, "team"
    return _("Unassigned"), "none"


@dataclass(frozen=True, slots=True)
class Filters:
    """What the list can be narrowed by."""

    inboxes: Sequence[Inbox]
    teams: Sequence[Team]
    labels: Sequence[Label]


def filters(query: Query) -> Filters:
    """What there is, without labels that are not to be offered here, unless one is chosen."""
    offered = Q(in_filters=True) | Q(pk=_key("lab", query.label))
    return Filters(
        inboxes=list(Inbox.objects.order_by("name").only("pk", "name", "removed_at")),
        teams=list(Team.objects.order_by("name").only("pk", "name")),
        labels=list(Label.objects.filter(offered).order_by("name")),
    )


def snooze_choices(now: datetime) -> list[tuple[str, str, datetime]]:
    """Times to sleep until, in the reader's zone: (key, words, moment)."""
    local = timezone.localtime(now)
    morning = local.replace(hour=9, minute=0, second=0, microsecond=0)
    monday = morning + timedelta(days=7 - local.weekday())
    return [
        ("1h", _("In an hour"), now + timedelta(hours=1)),
        ("3h", _("In three hours"), now + timedelta(hours=3)),
        ("tomorrow", _("Tomorrow morning"), morning + timedelta(days=1)),
        ("monday", _("Monday morning"), monday),
    ]
