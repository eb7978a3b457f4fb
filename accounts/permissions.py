"""The one permission table (security.md 2). Views, REST, admin and tests read it; default is deny."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    SUPERVISOR = "supervisor"
    PERSON = "person"
    AI = "ai"

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        return [(role.value, role.value) for role in cls]


RANK = {Role.OWNER: 4, Role.ADMIN: 3, Role.SUPERVISOR: 2, Role.PERSON: 1, Role.AI: 0}


class Permission(StrEnum):
    """What can be allowed. The value is also the scope an integration token needs."""

    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    CONFIG_READ = "config:read"
    CONFIG_WRITE = "config:write"
    INBOXES_READ = "inboxes:read"
    INBOXES_WRITE = "inboxes:write"
    AGENTS_READ = "agents:read"
    AGENTS_WRITE = "agents:write"
    AGENTS_PAUSE = "agents:pause"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    RULES_READ = "rules:read"
    RULES_WRITE = "rules:write"
    CONVERSATIONS_READ = "conversations:read"
    CONVERSATIONS_WRITE = "conversations:write"
    CONVERSATIONS_ASSIGN = "conversations:assign"
    CONTACTS_READ = "contacts:read"
    CONTACTS_WRITE = "contacts:write"
    CONTACTS_ERASE = "contacts:erase"
    DELIVERIES_READ = "deliveries:read"
    DELIVERIES_REPLAY = "deliveries:replay"
    REPORTS_READ = "reports:read"
    TOKENS_OWN = "tokens:own"
    TOKENS_WRITE = "tokens:write"
    SECRETS_READ = "secrets:read"
    AUDIT_READ = "audit:read"


P = Permission
_PERSON = {
    P.ACCOUNT_READ,
    P.MEMBERS_READ,
    P.CONFIG_READ,
    P.INBOXES_READ,
    P.AGENTS_READ,
    P.CONVERSATIONS_READ,
    P.CONVERSATIONS_WRITE,
    P.CONVERSATIONS_ASSIGN,
    P.CONTACTS_READ,
    P.CONTACTS_WRITE,
    P.REPORTS_READ,
    P.TOKENS_OWN,
}
_SUPERVISOR = _PERSON | {
    P.CONFIG_WRITE,
    P.AGENTS_PAUSE,
    P.RULES_READ,
    P.RULES_WRITE,
    P.DELIVERIES_READ,
}
_ADMIN = set(Permission) - {P.ACCOUNT_WRITE}

TABLE: dict[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMIN: frozenset(_ADMIN),
    Role.SUPERVISOR: frozenset(_SUPERVISOR),
    Role.PERSON: frozenset(_PERSON),
    # An AI agent acts on the conversations it holds at that moment (SX-23); the object check is in
    # `accounts.auth`, the table only opens the door.
    Role.AI: frozenset(
        {
            P.ACCOUNT_READ,
            P.CONVERSATIONS_READ,
            P.CONVERSATIONS_WRITE,
            P.CONVERSATIONS_ASSIGN,
            P.CONTACTS_READ,
            P.CONTACTS_WRITE,
        }
    ),
}


# A program of the account never gets at people, keys or the account itself, whoever made its token:
# a leaked one must not be able to let somebody in.
NOT_FOR_INTEGRATIONS = frozenset(
    {P.ACCOUNT_WRITE, P.MEMBERS_WRITE, P.TOKENS_OWN, P.TOKENS_WRITE, P.SECRETS_READ}
)


def allows(role: str, permission: Permission, *, scopes: list[str] | None = None) -> bool:
    """Whether `role` has `permission`; `scopes` (of an integration token) can only narrow it."""
    if permission not in TABLE[Role(role)]:
        return False
    return scopes is None or permission.value in scopes


class Sight(StrEnum):
    """How far a member sees into the conversations of the account (security.md 2: A, T, O)."""

    ALL = "all"
    TEAMS = "teams"
    OWN = "own"


# By what the account chose (`Account.people_see`); whoever is not named sees all.
_SIGHTS: dict[str, dict[Role, Sight]] = {
    "all": {},
    "teams": {Role.SUPERVISOR: Sight.TEAMS, Role.PERSON: Sight.TEAMS},
    "own": {Role.SUPERVISOR: Sight.TEAMS, Role.PERSON: Sight.OWN},
}


def sight_of(role: str, people_see: str) -> Sight:
    """How far this role sees in an account that chose `people_see`; an AI agent never beyond its own."""
    if role == Role.AI:
        return Sight.OWN
    return _SIGHTS[people_see].get(Role(role), Sight.ALL)


def may_grant(granting: str, granted: str) -> bool:
    """Nobody hands out a role above their own; only owners make owners."""
    return RANK[Role(granting)] >= RANK[Role(granted)] and granted != Role.AI
