"""`/healthz`: the process answers. `/readyz`: the installation can do its work, or says what fails.

`/readyz?exclude=backlog` leaves a check out. The backlog is one to leave out while starting: after a long
stop old work is due, and it is the very start that will see to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import lru_cache

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from conversations import backlog
from conversations.models import Courier
from integrations import measures

SWEPT_WITHIN = timedelta(seconds=30)
OLDEST_SECONDS = 60.0


class NotReadyError(Exception):
    """One check failed; the text says what and never holds an address or a secret."""


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    excluded = request.GET.get("exclude", "").split(",")
    asked = [name for name in CHECKS if name not in excluded]
    failing = failing_checks(asked)
    body = {"ready": not failing, "checks": {name: failing.get(name, "ok") for name in asked}}
    status = 503 if failing else 200
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def failing_checks(asked: Collection[str]) -> dict[str, str]:
    """Name → reason of every check that fails; after a dead database nothing else is asked."""
    failing: dict[str, str] = {}
    for name in asked:
        try:
            CHECKS[name]()
        except NotReadyError as error:
            failing[name] = str(error)
        except DatabaseError as error:
            failing[name] = f"the database refused ({type(error).__name__})"
        if "database" in failing:
            return dict.fromkeys(asked, "not asked: the database does not answer") | failing
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
    if (silence := _seconds_since(newest[0])) > Courier.SEEN_WITHIN.total_seconds():
        raise NotReadyError(f"no courier seen for {silence} s: run a worker")


def check_sweep() -> None:
    swept = measures.swept_at()
    if swept is None:
        raise NotReadyError("no courier has looked for work yet")
    if (silence := _seconds_since(swept)) > SWEPT_WITHIN.total_seconds():
        raise NotReadyError(f"no courier has looked for work for {silence} s")


def check_backlog() -> None:
    """What is due and customers wait for is under way, but where it waits for something that has a name."""
    oldest = max(backlog.oldest_due(backlog.LIVE).values(), default=0.0)
    if oldest > OLDEST_SECONDS:
        raise NotReadyError(f"a delivery that a customer waits for is {int(oldest)} s late")


def _seconds_since(moment: datetime) -> int:
    return int((timezone.now() - moment).total_seconds())


CHECKS: dict[str, Callable[[], None]] = {
    "database": check_database,
    "migrations": check_migrations,
    "courier": check_courier,
    "sweep": check_sweep,
    "backlog": check_backlog,
}
