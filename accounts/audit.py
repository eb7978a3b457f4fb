"""The audit log: explicit calls for what has a meaning (security.md 10)."""

from __future__ import annotations

from typing import Any

from accounts.models import AuditEntry, Member


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
    kind = actor_kind or ("system" if by is None else "agent" if by.is_agent else "user")
    return AuditEntry.objects.create(
        actor_kind=kind,
        actor_name=actor_name or (by.name if by else ""),
        member=by,
        action=action,
        object_kind=type(target).__name__.lower() if target is not None else "",
        object_id=getattr(target, "public_id", "") if target is not None else "",
        object_name=str(target)[:250] if target is not None else "",
        changes=changes or {},
        reason=reason,
        ip=ip,
    )
