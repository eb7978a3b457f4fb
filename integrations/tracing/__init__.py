"""One search for everything that happened because of one thing (delivery.md 15).

A `webhook-id`, a message, a platform's own id, an event, a delivery, a receipt, a conversation or a
phone number leads to one story in order of time: what came in, which rules looked at it, who got the
conversation, what was brought to whom, and what the channel said. Lines hold kinds, ids and states;
never the text of a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from accounts.models import Member
from conversations.models import Conversation
from integrations.tracing import story
from integrations.tracing.finding import Found, find
from integrations.tracing.lines import Line, Link

__all__ = ["Found", "Line", "Link", "Trace", "find", "trace"]


@dataclass(frozen=True, slots=True)
class Trace:
    """What a search led to: lines, or `choices` when a phone number has several conversations.

    `kind` says what was named (`message`, `delivery`, …). A whole conversation is told newest first,
    page by page: `older` is where the next one begins, 0 when there is none. Everything else is
    told from its beginning.
    """

    kind: str
    conversation: Conversation | None = None
    choices: Sequence[Conversation] = ()
    lines: Sequence[Line] = ()
    older: int = 0


def trace(text: str, viewer: Member | None, *, before: int = 0) -> Trace | None:
    """What `text` leads to for `viewer` (None: support staff inside the account); None for nothing.

    Called in the account's context, with a constant number of queries. `before` is the `older` of the
    page before.
    """
    found = find(text, viewer)
    if found is None:
        return None
    if found.choices:
        return Trace("choices", choices=found.choices)
    if found.conversation is None:
        return Trace(found.kind, lines=_marked(story.alone(found), found))
    if found.kind == "conversation":
        lines, older = story.page(found.conversation, before=before)
        return Trace(found.kind, found.conversation, lines=lines, older=older)
    lines = story.turn(found.conversation, found)
    return Trace(found.kind, found.conversation, lines=_marked(lines, found))


def _marked(lines: Sequence[Line], found: Found) -> list[Line]:
    return [replace(line, marked=found.about in line.ids) for line in lines]
