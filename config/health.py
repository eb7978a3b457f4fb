"""`/healthz`: the process answers. `/readyz`: the installation can do its work, or says what fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from conversations.models import Courier


class NotReadyError(Exception):
    """One check failed; the text says what and never holds an address or a secret."""


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    failing = failing_checks()
    body = {"ready": not failing, "checks": {name: failing.get(name, "ok") for name in CHECKS}}
    status = 503 if failing else 200
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def failing_checks() -> dict[str, str]:
    """Name → reason of every check that fails; after a dead database nothing else is asked."""
    failing: dict[str, str] = {}
    for name, check in CHECKS.items():
        try:
            check()
        except NotReadyError as error:
            failing[name] = str(error)
        except DatabaseError as error:
            failing[name] = f"the database refused ({type(error).__name__})"
        if "database" in failing:
            return dict.fromkeys(CHECKS, "not asked: the database does not answer") | failing
    return failing


def check_database() -> None:
    """A real write: a transactional log message, which a replica or a full disk refuses."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_logical_emit_message(true, 'switchboard', 'readyz')")


def check_migrations() -> None:
    applied = set(MigrationRecorder(connection).applied_migrations())
    missing = sorted(f"{app}.{name}" for app, name in _known_leaves() - applied)
    if missing:
        raise NotReadyError(f"migrations not applied: {', '.join(missing)}")


@lru_cache(maxsize=1)
def _known_leaves() -> set[tuple[str, str]]:
    return set(MigrationLoader(None, ignore_no_migrations=True).graph.leaf_nodes())


def check_courier() -> None:
    newest = Courier.objects.order_by("-last_seen_at").values_list("last_seen_at").first()
    if newest is None:
        raise NotReadyError("no courier has started yet: run a worker")
    silence = timezone.now() - newest[0]
    if silence > Courier.SEEN_WITHIN:
        raise NotReadyError(f"no courier seen for {int(silence.total_seconds())} s: run a worker")


CHECKS: dict[str, Callable[[], None]] = {
    "database": check_database,
    "migrations": check_migrations,
    "courier": check_courier,
}
