"""“Why does my agent get nothing?”: everything that has to be right, each with where it is mended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from accounts.models import Account, ApiToken, Plan
from accounts.permissions import Permission
from agents import dialects, rules
from agents.models import Agent
from conversations.models import Assignment, Endpoint, Inbox
from conversations.services import Reason

# What a plan calls AI agents (`Account.entitled`).
FEATURE = "ai_agents"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be right. `tone` is `ok`, `warn` (it may be why) or `danger` (it is why).

    `url` is where it is mended, for members with the permission `needs`; empty where nothing is wrong, or
    where the button stands on the agent's own page.
    """

    key: str
    tone: str
    title: str
    detail: str
    url: str = ""
    needs: str = ""


def of_agent(agent: Agent, account: Account) -> list[Check]:
    """All checks of one agent, in the order in which an event meets them; in seven queries at most.

    `agent` comes with its member and endpoint, and is called in the account's context.
    """
    inboxes = list(Inbox.objects.present().only("pk", "name", "state").order_by("pk"))
    attached = {inbox.pk for inbox in agent.inboxes.all()}
    served = [inbox for inbox in inboxes if inbox.pk in attached] if attached else inboxes
    return [
        _plan(account),
        _paused(agent, account),
        _attached(agent, served, every=not attached),
        _active(served),
        _rule(agent),
        _switched_on(agent.endpoint),
        _breaker(agent.endpoint),
        _reachable(agent),
        _dialect(agent),
        _secret(agent.endpoint),
        _token(agent),
    ]


def _plan(account: Account) -> Check:
    title = _("The plan includes AI agents")
    if account.entitled(FEATURE):
        return Check("plan", "ok", title, _("Nothing in the plan stands in the way."))
    having = Plan.objects.filter(**{f"entitlements__{FEATURE}": True}).order_by("name")
    names = ", ".join(having.values_list("name", flat=True)) or _("no plan yet")
    detail = _("The plan %(plan)s does not name them. Plans that do: %(names)s.")
    return Check(
        "plan", "warn", title, detail % {"plan": account.plan, "names": names}, *_to("settings")
    )


def _paused(agent: Agent, account: Account) -> Check:
    title = _("It is not paused")
    if account.agents_paused:
        detail = _("Every AI agent is paused, so people get all conversations.")
        return Check("paused", "danger", title, detail, *_to("agents"))
    if agent.state == Agent.State.PAUSED:
        detail = _("It is paused, so people get its conversations. Resume it above.")
        return Check("paused", "danger", title, detail)
    return Check("paused", "ok", title, _("It works, and AI agents are not paused everywhere."))


def _attached(agent: Agent, served: Sequence[Inbox], *, every: bool) -> Check:
    title = _("It serves an inbox")
    if not served:
        detail = _("There is no inbox yet. Connect one.")
        return Check("attached", "danger", title, detail, *_to("inboxes"))
    if every:
        return Check("attached", "ok", title, _("It serves every inbox."))
    names = ", ".join(inbox.name for inbox in served)
    detail = _("Only %(names)s; rules cannot give it conversations of others.") % {"names": names}
    return Check("attached", "ok", title, detail)


def _active(served: Sequence[Inbox]) -> Check:
    title = _("Its inboxes work")
    off = [inbox for inbox in served if inbox.state != Inbox.State.ACTIVE]
    if not off:
        return Check("inboxes", "ok", title, _("All of them take messages in."))
    said = ", ".join(f"{inbox.name} ({inbox.get_state_display()})" for inbox in off)
    detail = _("Not these: %(names)s.") % {"names": said}
    url = reverse("inbox_settings", args=[off[0].public_id])
    tone = "danger" if len(off) == len(served) else "warn"
    return Check("inboxes", tone, title, detail, url, Permission.INBOXES_READ)


def _rule(agent: Agent) -> Check:
    title = _("A rule leads to it")
    last = (
        Assignment.objects.filter(member=agent.member, reason=Reason.RULE).order_by("-pk").first()
    )
    lately = (
        _("It was chosen last on %(when)s: %(rule)s.")
        % {"when": _moment(last.started_at), "rule": last.detail or "–"}
        if last
        else _("No rule has chosen it so far.")
    )
    leading = rules.leading_to(agent).filter(enabled=True)
    leads = leading.values_list("name", flat=True).first()
    if leads is None:
        detail = _("No rule that is switched on gives it conversations.")
        return Check("rule", "warn", title, f"{detail} {lately}", *_to("rules"))
    detail = _("“%(rule)s” gives it conversations.") % {"rule": leads}
    tone, way = ("ok", ("", "")) if last else ("warn", _to("rules"))
    return Check("rule", tone, title, f"{detail} {lately}", *way)


def _switched_on(endpoint: Endpoint) -> Check:
    title = _("Its address is switched on")
    if endpoint.state == Endpoint.State.ENABLED:
        return Check("endpoint", "ok", title, _("Events are sent there."))
    detail = _("It is switched off, so people get its conversations. Switch it on above.")
    if endpoint.disabled_reason:
        detail = f"{detail} ({_(endpoint.disabled_reason)})"
    return Check("endpoint", "danger", title, detail)


def _breaker(endpoint: Endpoint) -> Check:
    title = _("Its circuit breaker is closed")
    match endpoint.breaker:
        case Endpoint.Breaker.OPEN:
            detail = _(
                "It failed so often that people get new conversations at once; now and then it is "
                "tried."
            )
            return Check("breaker", "danger", title, detail)
        case Endpoint.Breaker.HALF_OPEN:
            detail = _("It failed often and is being tried; two successes bring it back.")
            return Check("breaker", "warn", title, detail)
    return Check("breaker", "ok", title, _("It has not failed so often that it would be spared."))


def _reachable(agent: Agent) -> Check:
    title, endpoint = _("Its address can be reached"), agent.endpoint
    way = (reverse("change_agent", args=[agent.public_id]), Permission.AGENTS_WRITE)
    if endpoint.consecutive_failures:
        detail = _("The last call failed: %(why)s") % {"why": endpoint.last_error or "–"}
        return Check("reachable", "danger", title, detail, *way)
    if endpoint.last_success_at is None:
        detail = _("It has never been called. Test the address.")
        return Check("reachable", "warn", title, detail)
    detail = _("It took the last event on %(when)s.") % {"when": _moment(endpoint.last_success_at)}
    return Check("reachable", "ok", title, detail)


def _dialect(agent: Agent) -> Check:
    title = _("Its dialect is installed")
    known = {dialect.slug: dialect.name for dialect in dialects.all_dialects()}
    if agent.dialect in known:
        detail = _("It is spoken to in %(name)s.") % {"name": known[agent.dialect]}
        return Check("dialect", "ok", title, detail)
    detail = _("“%(name)s” is not. Choose another one.") % {"name": agent.dialect}
    way = (reverse("change_agent", args=[agent.public_id]), Permission.AGENTS_WRITE)
    return Check("dialect", "danger", title, detail, *way)


def _secret(endpoint: Endpoint) -> Check:
    title, now = _("It has a signing secret"), timezone.now()
    if any(one.expires_at is None or one.expires_at > now for one in endpoint.secrets.all()):
        return Check("secret", "ok", title, _("Every call is signed."))
    detail = _("Without one nothing is sent. Make a new secret below.")
    return Check("secret", "danger", title, detail)


def _token(agent: Agent) -> Check:
    title = _("It has a valid API token")
    tokens = agent.member.tokens.filter(kind=ApiToken.Kind.AGENT, revoked_at__isnull=True)
    living = tokens.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()))
    token = living.order_by("-pk").first()
    if token is None:
        detail = _(
            "It can answer in its response, but every call of its own is refused. Make a new token "
            "below."
        )
        return Check("token", "warn", title, detail)
    if token.last_used_at is None:
        return Check("token", "ok", title, _("It has not been used yet."))
    detail = _("It was used last on %(when)s.") % {"when": _moment(token.last_used_at)}
    return Check("token", "ok", title, detail)


def _to(page: str) -> tuple[str, str]:
    """A page's address, and what one needs to mend things there."""
    needs = {
        "agents": Permission.AGENTS_WRITE,
        "inboxes": Permission.INBOXES_WRITE,
        "rules": Permission.RULES_WRITE,
        "settings": Permission.ACCOUNT_WRITE,
    }
    return reverse(page), needs[page]


def _moment(at: datetime) -> str:
    return date_format(localtime(at), "j M Y, H:i")
