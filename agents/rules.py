"""Assignment rules: what they may say, keeping their versions, and the rules of a new account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import ids
from accounts.audit import audit
from accounts.models import Account, Member, Team
from accounts.tenancy import current_account_id
from agents.conditions import (
    FIELDS,
    OP_LABELS,
    OPS,
    WORDS,
    ConditionError,
    describe,
    quoted,
    validate,
)
from agents.models import Agent, AssignmentRule, RuleVersion
from conversations import channels
from conversations.models import Inbox, Label

MAX_ACTIONS = 10
MAX_TEXT = 4000

EVENTS: dict[str, str | Promise] = {
    "message.created": gettext_lazy("A customer writes"),
    "conversation.created": gettext_lazy("A conversation begins"),
    "conversation.updated": gettext_lazy("A conversation changes (labels, attributes, status)"),
    "conversation.assigned": gettext_lazy("Somebody gets a conversation"),
    "conversation.unassigned": gettext_lazy("A conversation goes to the unassigned queue"),
    "conversation.resolved": gettext_lazy("A conversation is resolved"),
}

# For every action: its label, and its arguments with their kind.
ACTIONS: dict[str, tuple[str | Promise, dict[str, str]]] = {
    "assign": (
        gettext_lazy("Assign to an AI agent, a person or a team"),
        {"agent": "agent", "member": "member", "team": "team"},
    ),
    "hand_off": (gettext_lazy("Hand off to people"), {"team": "team?", "detail": "line?"}),
    "label": (gettext_lazy("Add labels"), {"names": "names"}),
    "reply": (gettext_lazy("Reply to the customer"), {"text": "text"}),
    "resolve": (gettext_lazy("Resolve"), {"detail": "line?"}),
}


class RuleError(Exception):
    """The rule cannot be kept; `path` names the place (`actions[0].text`)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


# --- Checking ------------------------------------------------------------------------------------


def check_rule(*, event: str, condition: object, actions: object) -> None:
    """Raise `RuleError` at the first place that is wrong. Targets must exist in the account."""
    if event not in EVENTS:
        _refuse("event", _("should be one of %(known)s") % {"known": ", ".join(EVENTS)})
    try:
        validate(condition)
    except ConditionError as error:
        raise RuleError(error.path, error.message) from error
    if not isinstance(actions, list) or not 1 <= len(actions) <= MAX_ACTIONS:
        _refuse("actions", _("should be a list of 1 to %(most)d actions") % {"most": MAX_ACTIONS})
    for n, action in enumerate(actions):
        _check_action(action, f"actions[{n}]")


def _check_action(action: object, path: str) -> None:
    if not isinstance(action, dict):
        _refuse(path, _("should be an object"))
    kind = action.get("type")
    if not isinstance(kind, str) or kind not in ACTIONS:
        _refuse(f"{path}.type", _("should be one of %(known)s") % {"known": ", ".join(ACTIONS)})
    arguments = ACTIONS[kind][1]
    for key in action:
        if key != "type" and key not in arguments:
            _refuse(f"{path}.{key}", _("is not known here"))
    if kind == "assign" and sum(bool(action.get(key)) for key in arguments) != 1:
        _refuse(path, _("should name an agent, a member or a team, and only one of them"))
    for key, shape in arguments.items():
        value = action.get(key)
        if value in (None, "") and (kind == "assign" or shape.endswith("?")):
            continue
        _check_argument(shape.removesuffix("?"), value, f"{path}.{key}")


def _check_argument(shape: str, value: object, path: str) -> None:
    if shape == "names":
        if not isinstance(value, list) or not 1 <= len(value) <= 20:
            _refuse(path, _("should be a list of 1 to 20 names"))
        for n, name in enumerate(value):
            _check_text(name, f"{path}[{n}]", most=60)
    elif shape == "text":
        _check_text(value, path, most=MAX_TEXT)
    elif shape == "line":
        _check_text(value, path, most=250)
    elif not isinstance(value, str) or target_of(**{shape: value}) is None:
        _refuse(path, _("there is nobody with this id who can take conversations"))


def _check_text(value: object, path: str, *, most: int) -> None:
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= most or "\x00" in value:
        _refuse(path, _("should be a text of 1 to %(most)d characters") % {"most": most})


def _refuse(path: str, message: str) -> NoReturn:
    raise RuleError(path, message)


def target_of(*, agent: str = "", member: str = "", team: str = "") -> Member | Team | None:
    """Whom an action's id means, in the account in context; None when there is nobody (any more)."""
    try:
        if agent:
            found = (
                Agent.objects.exclude(state=Agent.State.DELETED)
                .select_related("member")
                .filter(pk=ids.decode("agn", agent))
                .first()
            )
            return found.member if found else None
        if member:
            return (
                Member.objects.active()
                .filter(account_id=current_account_id(), pk=ids.decode("mem", member))
                .first()
            )
        return Team.objects.filter(pk=ids.decode("tem", team)).first()
    except ValueError:
        return None


# --- Keeping -------------------------------------------------------------------------------------


@transaction.atomic
def create_rule(
    *,
    name: str,
    actions: list[dict[str, Any]],
    by: Member | None,
    condition: Mapping[str, Any] | None = None,
    event: str = "message.created",
    stop: bool = True,
    enabled: bool = True,
    position: int | None = None,
) -> AssignmentRule:
    """Add a rule, last in order unless `position` says otherwise. Raises `RuleError`."""
    rule = AssignmentRule(
        name=_checked_name(name),
        event=event,
        condition=dict(condition or {}),
        actions=actions,
        stop=stop,
        enabled=enabled,
        position=position if position is not None else _next_position(),
    )
    check_rule(event=rule.event, condition=rule.condition, actions=rule.actions)
    rule.save()
    _keep_version(rule, by=by)
    audit("rule.created", by=by, target=rule)
    return rule


@transaction.atomic
def update_rule(
    rule: AssignmentRule,
    *,
    by: Member | None,
    noted: Mapping[str, Any] | None = None,
    **changes: Any,
) -> AssignmentRule:
    """Change name, event, condition, actions, stop or enabled; `noted` stands with the new version. Raises
    `RuleError`, but never where a rule is only switched off: whom it names may be gone."""
    rule = AssignmentRule.objects.select_for_update().get(pk=rule.pk)
    before = snapshot(rule)
    for field in changes:
        if field not in before:
            raise TypeError(f"a rule has no {field} to change")
    if "name" in changes:
        changes["name"] = _checked_name(changes["name"])
    for field, value in changes.items():
        setattr(rule, field, value)
    after = snapshot(rule)
    if after != {**before, "enabled": False}:
        check_rule(event=rule.event, condition=rule.condition, actions=rule.actions)
    if after == before:
        return rule
    rule.version += 1
    rule.save()
    _keep_version(rule, by=by, noted=noted)
    changed = {
        key: {"from": before[key], "to": after[key]} for key in after if after[key] != before[key]
    }
    audit("rule.updated", by=by, target=rule, changes=changed)
    return rule


@transaction.atomic
def delete_rule(rule: AssignmentRule, *, by: Member | None) -> None:
    """Remove a rule; its versions stay, so that old decisions can be read."""
    audit("rule.deleted", by=by, target=rule, changes={"rule": snapshot(rule)})
    rule.delete()


@transaction.atomic
def order_rules(public_ids: Sequence[str], *, by: Member | None) -> None:
    """Put the rules into this order; those that are not named keep theirs, after the named ones."""
    rules = {
        rule.public_id: rule
        for rule in AssignmentRule.objects.select_for_update().order_by("position", "id")
    }
    for public_id in public_ids:
        if public_id not in rules:
            _refuse("order", _("there is no rule %(id)s") % {"id": public_id[:40]})
    named = [rules[public_id] for public_id in dict.fromkeys(public_ids)]
    ordered = [*named, *(rule for rule in rules.values() if rule not in named)]
    for position, rule in enumerate(ordered, start=1):
        rule.position = position
    AssignmentRule.objects.bulk_update(ordered, ["position"])
    audit("rules.ordered", by=by, changes={"order": [rule.public_id for rule in ordered]})


def put_before(
    rule: AssignmentRule, wanted: Callable[[AssignmentRule], bool], *, by: Member | None
) -> None:
    """Move a rule before the first of the others that is `wanted`; it stays where there is none."""
    others = list(AssignmentRule.objects.exclude(pk=rule.pk).order_by("position", "id"))
    place = next((n for n, other in enumerate(others) if wanted(other)), None)
    if place is not None:
        order = [other.public_id for other in others]
        order_rules([*order[:place], rule.public_id, *order[place:]], by=by)


def snapshot(rule: AssignmentRule) -> dict[str, Any]:
    """Everything a rule says."""
    return {
        "name": rule.name,
        "event": rule.event,
        "condition": rule.condition,
        "actions": rule.actions,
        "stop": rule.stop,
        "enabled": rule.enabled,
    }


def _checked_name(name: object) -> str:
    _check_text(name, "name", most=120)
    return str(name).strip()


def _next_position() -> int:
    highest = AssignmentRule.objects.aggregate(highest=Max("position"))["highest"]
    return (highest or 0) + 1


def _keep_version(
    rule: AssignmentRule, *, by: Member | None, noted: Mapping[str, Any] | None = None
) -> None:
    kept = {**snapshot(rule), **(noted or {})}
    RuleVersion.objects.create(rule=rule, version=rule.version, snapshot=kept, changed_by=by)


# --- Whom they lead to ---------------------------------------------------------------------------


def leading_to(agent: Agent) -> QuerySet[AssignmentRule]:
    """The rules that give conversations to it, switched off or not."""
    by_agent, by_member = (Q(actions__contains=[action]) for action in _gives(agent))
    return AssignmentRule.objects.filter(by_agent | by_member)


def only_gives_to(rule: AssignmentRule, agent: Agent) -> bool:
    """Whether giving conversations to it is all that the rule does."""
    whom = [(action.get("agent"), action.get("member")) for action in rule.actions]
    return all(agent.public_id == one or agent.member.public_id == other for one, other in whom)


def _gives(agent: Agent) -> tuple[dict[str, str], dict[str, str]]:
    """An agent is a member as well, and named as either."""
    by_agent = {"type": "assign", "agent": agent.public_id}
    return by_agent, {"type": "assign", "member": agent.member.public_id}


# --- For forms -----------------------------------------------------------------------------------


def catalogue() -> dict[str, Any]:
    """Everything a rule can be built of in the account in context, as plain data for a form."""
    return {
        "events": [{"name": name, "label": str(label)} for name, label in EVENTS.items()],
        "fields": [
            {
                "name": field.name,
                "label": str(field.label),
                "kind": str(field.kind),
                "keyed": field.keyed,
                "ops": [{"name": str(op), "label": str(OP_LABELS[op])} for op in OPS[field.kind]],
                "choices": _choices(field.name) or _words(field.name),
            }
            for field in FIELDS.values()
        ],
        "actions": [
            {"type": kind, "label": str(label), "arguments": arguments}
            for kind, (label, arguments) in ACTIONS.items()
        ],
        "targets": {"agent": _agents(), "member": _people(), "team": _teams()},
    }


def _choice(value: str, label: str = "") -> dict[str, str]:
    return {"value": value, "label": label or value}


def _choices(field: str) -> list[dict[str, str]]:
    """The account's own values of a field."""
    if field == "channel":
        return [_choice(channel.slug, str(channel.name)) for channel in channels.all_channels()]
    if field == "inbox":
        return [_choice(inbox.public_id, str(inbox)) for inbox in Inbox.objects.order_by("name")]
    if field == "labels":
        return [
            _choice(name) for name in Label.objects.order_by("name").values_list("name", flat=True)
        ]
    if field == "holder":
        return [*_words(field), *_holders()]
    return []


def _words(field: str) -> list[dict[str, str]]:
    return [_choice(value, str(word)) for value, word in WORDS.get(field, {}).items()]


def _holders() -> list[dict[str, str]]:
    agents = [_choice(agent.member.public_id, agent.name) for agent in _living_agents()]
    return [*agents, *_people(), *_teams()]


def _living_agents() -> list[Agent]:
    return list(
        Agent.objects.exclude(state=Agent.State.DELETED)
        .select_related("member")
        .order_by("member__name")
    )


def _agents() -> list[dict[str, str]]:
    return [_choice(agent.public_id, agent.name) for agent in _living_agents()]


def _people() -> list[dict[str, str]]:
    people = (
        Member.objects.people().active().filter(account_id=current_account_id()).order_by("name")
    )
    return [_choice(member.public_id, member.name) for member in people]


def _teams() -> list[dict[str, str]]:
    return [_choice(team.public_id, team.name) for team in Team.objects.order_by("name")]


def names_of_targets() -> dict[str, str]:
    """How ids in conditions and actions are called, for `describe_rule`."""
    lists = [_holders(), _choices("inbox"), _agents(), _deleted_agents()]
    return {choice["value"]: choice["label"] for choices in lists for choice in choices}


def _deleted_agents() -> list[dict[str, str]]:
    """Rules that are off, and old versions, still name them."""
    gone = Agent.objects.filter(state=Agent.State.DELETED).select_related("member")
    return [
        _choice(public_id, _("%(name)s (deleted)") % {"name": agent.name})
        for agent in gone
        for public_id in (agent.public_id, agent.member.public_id)
    ]


def describe_rule(rule: AssignmentRule, names: Mapping[str, str] | None = None) -> str:
    """What a rule does, in a sentence or two; `names` comes from `names_of_targets`."""
    known = names if names is not None else names_of_targets()
    acts = "; ".join(describe_action(action, known) for action in rule.actions)
    return f"{describe(rule.condition, known)}: {acts}"


def describe_action(action: Mapping[str, Any], names: Mapping[str, str]) -> str:
    match action["type"]:
        case "assign":
            target = action.get("agent") or action.get("member") or action.get("team") or ""
            return _("assign to %(name)s") % {"name": names.get(target, target)}
        case "hand_off" if action.get("team"):
            team = action["team"]
            return _("hand off to %(name)s") % {"name": names.get(team, team)}
        case "hand_off":
            return _("hand off to people")
        case "label":
            return _("add the label %(names)s") % {
                "names": ", ".join(quoted(name) for name in action["names"])
            }
        case "reply":
            return _("reply “%(text)s”") % {"text": action["text"][:80]}
    return _("resolve")


# --- The rules of a new account ------------------------------------------------------------------

# What people say when they want a person, folded on comparison: case and accents do not matter.
ASKS_FOR_A_PERSON = (
    "human", "real person", "live person", "actual person", "live agent", "real agent",
    "talk to a person", "speak to a person", "speak with a person", "talk to someone",
    "speak to someone", "speak with someone", "talk to somebody", "speak to somebody",
    "representative", "operator", "not a bot", "not a robot",
    "cu un om", "unui om", "un om real", "vreau un om", "cu o persoană", "persoană reală",
    "unei persoane", "cu cineva", "cu un coleg", "cu o colegă", "cu un consultant", "agent uman",
    "nu cu un robot", "nu cu robotul",
)  # fmt: skip


def create_default_rules(
    account: Account, agent: Agent, *, by: Member | None = None
) -> list[AssignmentRule]:
    """A new account's two rules: who asks for a person gets one, new chats go to `agent`.

    Called in the account's context. Does nothing, and returns [], when the account has rules.
    """
    if AssignmentRule.objects.exists():
        return []
    not_with_people = {
        "not": {"field": "holder", "op": "in", "value": [Member.Kind.PERSON.value, "team"]}
    }
    asks = {"field": "text", "op": "contains_any", "value": list(ASKS_FOR_A_PERSON)}
    return [
        create_rule(
            name=_("Who asks for a person gets one"),
            condition={"all": [not_with_people, asks]},
            actions=[{"type": "hand_off", "detail": _("The customer asked for a person")}],
            by=by,
        ),
        create_rule(
            name=(_("New chats to %(name)s") % {"name": agent.name})[:120],
            condition={
                "all": [
                    {"field": "first_message", "op": "is", "value": True},
                    {"field": "holder", "op": "is", "value": "none"},
                ]
            },
            actions=[{"type": "assign", "agent": agent.public_id}],
            by=by,
        ),
    ]
