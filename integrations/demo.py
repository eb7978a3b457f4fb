"""The demo account: an invented lamp shop, ready to try, and everything a script needs to use it.

Made once; asked again, it says the same. What cannot be read back from the database (clear tokens,
the password) is kept in `<data directory>/demo.json`, readable by its owner alone; what is lost
there is made anew.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, transaction

from accounts import services as accounts
from accounts.models import Account, ApiToken, Member, Team, User
from accounts.permissions import Role
from accounts.tenancy import account_context
from accounts.tokens import create_token, find_token
from agents.models import Agent
from agents.rules import create_default_rules
from conversations.models import Endpoint, EndpointSecret, Inbox
from integrations import demo_story, registry
from integrations.services import connect_inbox

# Login, name and role.
Somebody = tuple[str, str, str]
NAME, SLUG = "Casa Lumină", "casa-lumina"
DOMAIN = "casa-lumina.example"
OWNER: Somebody = ("elena", "Elena Marin", Role.OWNER)
STAFF: tuple[Somebody, ...] = (
    ("radu", "Radu Ionescu", Role.PERSON),
    ("ioana", "Ioana Pop", Role.PERSON),
    ("mihai", "Mihai Dinu", Role.SUPERVISOR),
)
TEAM = "Customer care"
AGENT = "Lumi"
# Who makes the account holds this lock of PostgreSQL's; couriers have the class 7, counting them 8.
LOCK = (9, 0)
TOKEN_NAME = "demo"  # noqa: S105 - how the list of tokens calls it


_LIKE_OURS = re.compile(r"http://127\.0\.0\.1:\d+/")


def is_production() -> bool:
    """Whether strangers may reach this installation and its database is not our embedded one."""
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    if settings.EMBEDDED or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_private
    except ValueError:
        return True


def make_demo() -> dict[str, Any]:
    """Make what is missing of the demo account; returns its facts as `demo --json` prints them."""
    with _alone():
        kept = _read_kept()
        with transaction.atomic():
            account = Account.objects.filter(slug=SLUG).first() or _make_account(kept)
            with account_context(account):
                facts = _facts(account, kept)
        _write_kept(kept)
    return facts


@contextmanager
def _alone() -> Iterator[None]:
    """`make run` and the command may come at the same moment: the second waits, and finds what the first made
    and what it kept."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", LOCK)
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", LOCK)


def _make_account(kept: dict[str, Any]) -> Account:
    owner = _user(OWNER, kept)
    member = accounts.create_account(
        NAME, owner=owner, locale="en", languages=["en", "ro"], country="RO"
    )
    account = member.account
    with account_context(account):
        people = [_person(account, somebody, kept) for somebody in STAFF]
        team = _team(member, people)
        agent = _agent(account)
        create_default_rules(account, agent, by=member)
        _connect_inboxes(member, team)
        demo_story.tell(account, agent=agent, people=people, team=team)
    return account


def _user(somebody: Somebody, kept: dict[str, Any]) -> User:
    login, name, _role = somebody
    user = User.objects.filter(email=f"{login}@{DOMAIN}").first()
    return user or User.objects.create_user(
        f"{login}@{DOMAIN}", kept.setdefault("password", _new_password()), name=name
    )


def _person(account: Account, somebody: Somebody, kept: dict[str, Any]) -> Member:
    _login, name, role = somebody
    member, _created = Member.objects.get_or_create(
        account=account, user=_user(somebody, kept), defaults={"role": role, "name": name}
    )
    return member


def _team(owner: Member, people: list[Member]) -> Team:
    """The shop's team; any other one when somebody has renamed it."""
    team = Team.objects.filter(name=TEAM).first() or Team.objects.order_by("pk").first()
    return team or accounts.create_team(name=TEAM, by=owner, members=people)


def _agent(account: Account) -> Agent:
    """The shop's agent; a new one when it was deleted."""
    agents = Agent.objects.exclude(state=Agent.State.DELETED).select_related("member", "endpoint")
    agent = agents.order_by("pk").first()
    if agent is not None:
        return agent
    member = Member.objects.create(
        account=account, kind=Member.Kind.AGENT, role=Role.AI, name=AGENT
    )
    endpoint = Endpoint.objects.create(kind=Endpoint.Kind.AGENT, dialect="native", url=_agent_url())
    return Agent.objects.create(
        member=member,
        endpoint=endpoint,
        dialect="native",
        patience_s=30,
        description="Answers questions about lamps, delivery and returns in English and Romanian.",
    )


def _connect_inboxes(owner: Member, team: Team) -> None:
    """One inbox on each platform that says how; a new account has its sandbox phone already."""
    for platform in registry.all_platforms():
        if platform.demo is None:
            continue
        inbox = Inbox.objects.present().filter(platform=platform.slug).first()
        values = platform.demo.values()
        if inbox is None:
            connect_inbox(
                platform=platform.slug,
                name=platform.demo.name,
                values=values,
                by=owner,
                fallback_team=team,
            )
        else:
            inbox.name, inbox.fallback_team = platform.demo.name, team
            inbox.config = {**inbox.config, **values}
            inbox.save()


def _facts(account: Account, kept: dict[str, Any]) -> dict[str, Any]:
    owner = _person(account, OWNER, kept)
    people = [_person(account, somebody, kept) for somebody in STAFF]
    team = _team(owner, people)
    return {
        "base_url": settings.PUBLIC_URL,
        # `number`: what it is called in APIs of platforms whose ids are numbers.
        "account": {"id": account.public_id, "number": account.pk, "slug": account.slug},
        "owner": {
            "email": f"{OWNER[0]}@{DOMAIN}",
            "password": _password(owner, kept),
            "api_token": _token(owner, kept),
        },
        "people": [
            {
                "id": member.public_id,
                "number": member.pk,
                "email": f"{login}@{DOMAIN}",
                "api_token": _token(member, kept),
            }
            for (login, _name, _role), member in zip(STAFF, people, strict=True)
        ],
        "team": {"id": team.public_id, "number": team.pk},
        "agent": _agent_facts(_agent(account), kept),
        "inboxes": _inbox_facts(),
    }


def _agent_facts(agent: Agent, kept: dict[str, Any]) -> dict[str, Any]:
    _follow_port(agent, kept)
    secret = agent.endpoint.secrets.first()
    if secret is None:
        secret = EndpointSecret(endpoint=agent.endpoint)
        secret.value = _new_secret()
        secret.save()
    return {
        "id": agent.public_id,
        "number": agent.pk,
        "dialect": agent.dialect,
        "url": agent.endpoint.url,
        "token": _token(agent.member, kept),
        "secret": secret.value,
    }


def _follow_port(agent: Agent, kept: dict[str, Any]) -> None:
    """Our own agent may listen elsewhere than last time; an address that somebody gave it stays."""
    endpoint, url, last = agent.endpoint, _agent_url(), kept.get("agent_url")
    is_ours = endpoint.url == last if last else _LIKE_OURS.fullmatch(endpoint.url)
    if is_ours and endpoint.url != url:
        endpoint.url = url
        endpoint.save(update_fields=["url"])
    kept["agent_url"] = url


def _inbox_facts() -> dict[str, Any]:
    facts = {}
    for platform in registry.all_platforms():
        inbox = Inbox.objects.present().filter(platform=platform.slug).order_by("pk").first()
        if platform.demo is not None and inbox is not None:
            facts[platform.slug] = {
                "id": inbox.public_id,
                "number": inbox.pk,
                **platform.demo.facts(inbox),
            }
    return facts


def _token(member: Member, kept: dict[str, Any]) -> str:
    """The member's demo token: the kept one while it lives, else a new one in its place."""
    tokens = kept.setdefault("tokens", {})
    clear: str = tokens.get(member.public_id, "")
    found = find_token(clear) if clear else None
    if found is not None and found.member_id == member.pk:
        return clear
    kind = ApiToken.Kind.AGENT if member.is_agent else ApiToken.Kind.PERSONAL
    member.tokens.filter(name=TOKEN_NAME).delete()
    _token_row, clear = create_token(member, kind=kind, name=TOKEN_NAME, created_by=member)
    tokens[member.public_id] = clear
    return clear


def _password(owner: Member, kept: dict[str, Any]) -> str:
    """The password all demo people share; a lost one is replaced."""
    if not kept.get("password"):
        kept["password"] = _new_password()
        emails = [f"{login}@{DOMAIN}" for login, _name, _role in (OWNER, *STAFF)]
        for user in User.objects.filter(email__in=emails, memberships__account=owner.account):
            user.set_password(kept["password"])
            user.save(update_fields=["password"])
    return str(kept["password"])


def _new_password() -> str:
    return f"lumina-{secrets.token_hex(6)}"


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _agent_url() -> str:
    return f"http://127.0.0.1:{settings.AGENT_PORT}/"


def _read_kept() -> dict[str, Any]:
    try:
        return dict(json.loads((settings.DATA_DIR / "demo.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}


def _write_kept(kept: dict[str, Any]) -> None:
    """Replace the file in one step, readable by its owner alone from the first byte on."""
    path = settings.DATA_DIR / "demo.json"
    text = json.dumps(kept, indent=1)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".json.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
