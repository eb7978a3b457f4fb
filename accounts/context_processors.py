"""What every page knows: who is looking, and what they may do."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts.permissions import TABLE, Role


def member(request: HttpRequest) -> dict[str, Any]:
    """`member`, `account`, `may` (set of permission names, e.g. `"rules:write" in may`), `version`."""
    current = getattr(request, "member", None)
    may = {permission.value for permission in TABLE[Role(current.role)]} if current else set()
    return {
        "member": current,
        "account": getattr(request, "account", None),
        "may": may,
        "version": settings.VERSION,
        "local_mailbox": settings.LOCAL_MAILBOX,
    }
