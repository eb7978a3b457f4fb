"""The audit log: explicit calls for what has a meaning (security.md 10)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from accounts.models import ApiToken, AuditEntry, Member
from accounts.origin import client_ip, ip_prefix


@dataclass(frozen=True, slots=True)
class Caller:
    """By which way the acts of a request come: from which network, and with which token. `program` is one
    of the installation's that acts in accounts without being a member of any."""

    network: str = ""
    token: ApiToken | None = None
    program: str = ""


_UNKNOWN = Caller()
_caller: ContextVar[Caller] = ContextVar("caller", default=_UNKNOWN)


@contextmanager
def called_by(request: HttpRequest, token: ApiToken | None = None) -> Iterator[None]:
    """What members do inside this block is noted with the request's network and token."""
    reset = _caller.set(Caller(ip_prefix(client_ip(request)), token))
    try:
        yield
    finally:
        _caller.reset(reset)


@contextmanager
def called_by_program(name: str, network: str = "") -> Iterator[None]:
    """What nobody's member does inside this block is noted as this program's."""
    reset = _caller.set(Caller(network, program=name))
    try:
        yield
    finally:
        _caller.reset(reset)


def audit(
    action: str,
    *,
    by: Member | None,
    target: Any = None,
    changes: dict[str, Any] | None = None,
    reason: str = "",
    actor_kind: str = "",
    actor_name: str = "",
    ip: str = "",
) -> AuditEntry:
    """Write one entry in the account's context. Secrets in `changes` are given as "changed"."""
    caller = _caller.get()
    if by is None and not caller.program:
        caller = _UNKNOWN
    return AuditEntry.objects.create(
        actor_kind=actor_kind or _kind(by, caller),
        actor_name=actor_name or _name(by, caller),
        member=by,
        action=action,
        object_kind=type(target).__name__.lower() if target is not None else "",
        object_id=getattr(target, "public_id", "") if target is not None else "",
        object_name=_title(target),
        changes=changes or {},
        reason=reason,
        ip=ip or caller.network,
    )


def _title(target: Any) -> str:
    """What people know it by. A customer's own name is left out: this log outlives their erasure."""
    title = getattr(target, "audit_name", None)
    return str(title if title is not None else target or "")[:250]


def _kind(by: Member | None, caller: Caller) -> str:
    if by is None:
        return "program" if caller.program else "system"
    if by.is_agent:
        return "agent"
    return "token" if caller.token else "user"


def _name(by: Member | None, caller: Caller) -> str:
    """The member's, and with which of their keys they acted."""
    if by is None:
        return caller.program
    if by.is_agent or caller.token is None:
        return by.name
    return f"{by.name} ({caller.token.name})"[:250]
