"""System lines: what happened, said in the thread itself so that nobody has to look in a log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.inserting import insert_many
from accounts.models import Member, Team
from conversations.models import Conversation, Message


def add_line(
    conversation: Conversation,
    code: str,
    *,
    by: Member | None = None,
    to: Member | Team | None = None,
    **values: Any,
) -> Message:
    """Add a system line. `code` and values stay, so that pages can say it in the reader's language."""
    return add_lines([conversation], code, by=by, to=to, **values)[0]


def add_lines(
    conversations: Sequence[Conversation],
    code: str,
    *,
    by: Member | None = None,
    to: Member | Team | None = None,
    **values: Any,
) -> list[Message]:
    """The same line in several conversations."""
    facts = {name: value for name, value in values.items() if value}
    if by is not None:
        facts["by"] = by.name
    if to is not None:
        facts["to"] = to.name
    return insert_many(
        [
            Message(
                conversation=conversation,
                inbox_id=conversation.inbox_id,
                direction=Message.Direction.SYSTEM,
                kind="system",
                text=sentence(code, facts),
                content={"code": code, **facts},
                status="read",
                sent_at=timezone.now(),
            )
            for conversation in conversations
        ]
    )


def sentence(code: str, facts: dict[str, Any]) -> str:
    """The line in the active language, e.g. “Assigned to Sales agent by Ana: asked for prices”."""
    verbs = _VERBS.get(code, {"": _plain})
    reason = str(facts.get("reason", ""))
    say = verbs[reason] if reason in verbs else verbs[""]
    text = say(facts)
    detail = str(facts.get("detail", ""))
    return f"{text}: {detail}" if detail else text


def summarise(conversation: Conversation) -> str:
    """What a person needs to read first when nobody wrote a summary: counts and last words."""
    recent = list(
        Message.objects.filter(
            conversation=conversation,
            direction__in=(Message.Direction.INBOUND, Message.Direction.OUTBOUND),
        )
        .order_by("-id")
        .values_list("direction", "text", "kind")[:20]
    )
    asked = [text or kind for direction, text, kind in recent if direction == "inbound"]
    answered = [text or kind for direction, text, kind in recent if direction == "outbound"]
    lines = []
    if asked:
        lines.append(_("Customer's last words: “%(text)s”") % {"text": asked[0][:300]})
    if len(asked) > 1:
        lines.append(_("Before that: “%(text)s”") % {"text": asked[1][:300]})
    if answered:
        lines.append(_("Last answer: “%(text)s”") % {"text": answered[0][:300]})
    else:
        lines.append(_("Nobody has answered yet."))
    return "\n".join(lines)


Sentence = Callable[[dict[str, Any]], str]


def _plain(facts: dict[str, Any]) -> str:
    return _("The conversation was changed")


def _by(text: str, facts: dict[str, Any]) -> str:
    return (
        _("%(text)s by %(name)s") % {"text": text, "name": facts["by"]} if "by" in facts else text
    )


def _assigned(facts: dict[str, Any]) -> str:
    if "to" not in facts:
        return _by(_("Moved to the unassigned queue"), facts)
    return _by(_("Assigned to %(name)s") % {"name": facts["to"]}, facts)


def _platform(facts: dict[str, Any]) -> str:
    return str(facts.get("platform", ""))


def _to_people(text: str) -> Sentence:
    def say(facts: dict[str, Any]) -> str:
        target = facts.get("to") or _("the unassigned queue")
        return _("%(text)s; given to %(name)s") % {"text": str(text), "name": target}

    return say


_VERBS: dict[str, dict[str, Sentence]] = {
    "assigned": {
        "": _assigned,
        "takeover": lambda f: _("%(name)s took over") % {"name": f.get("to", "")},
        "answered": lambda f: _("%(name)s answered and has it now") % {"name": f.get("to", "")},
        "given_back": lambda f: _by(_("Given back to %(name)s") % {"name": f.get("to", "")}, f),
        "handed_off": lambda f: _to_people(_by(_("Handed off"), f))(f),
        "agent_timeout": lambda f: _to_people(_("The AI agent did not answer in time"))(f),
        "agent_unreachable": lambda f: _to_people(_("The AI agent could not be reached"))(f),
        "agent_rejected": lambda f: _to_people(_("The AI agent refused the message"))(f),
        "agent_disabled": lambda f: _to_people(_("The AI agent is switched off"))(f),
        "agent_paused": lambda f: _to_people(_by(_("The AI agent was paused"), f))(f),
        "agent_deleted": lambda f: _to_people(_by(_("The AI agent was deleted"), f))(f),
        "late_message": lambda f: _to_people(_("The message arrived late"))(f),
        "undone": lambda f: _by(_("Given back to %(name)s") % {"name": f.get("to", "")}, f),
    },
    "resolved": {"": lambda f: _by(_("Resolved"), f)},
    "reopened": {"": lambda f: _by(_("Reopened"), f)},
    "snoozed": {"": lambda f: _by(_("Snoozed"), f)},
    "labelled": {"": lambda f: _by(_("Label “%(name)s” added") % {"name": f.get("label", "")}, f)},
    "unlabelled": {
        "": lambda f: _by(_("Label “%(name)s” removed") % {"name": f.get("label", "")}, f)
    },
    "merged": {"": lambda f: _by(_("Merged into one customer with another"), f)},
    "number_changed": {"": lambda f: _("The customer has a new number")},
    "not_told": {"": lambda f: _("The customer could not be told that people will answer")},
    "told": {"": lambda f: _("%(name)s knows that its people have it") % {"name": _platform(f)}},
    "untold": {"": lambda f: _("%(name)s could not be told of it") % {"name": _platform(f)}},
    "answer_refused": {
        "": lambda f: _("The answer of %(name)s could not be used") % {"name": f.get("by", "")}
    },
}
