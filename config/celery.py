"""The Celery application: jobs nobody waits for, and the process the courier lives in.

The guarantee rests on rows, never on a broker: a lost job is found again by the courier's sweep or
by beat. The default broker is PGMQ on our own PostgreSQL; `CELERY_BROKER_URL` names another one.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init, celeryd_init, worker_init
from kombu.exceptions import OperationalError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings

from config import broker

logger = logging.getLogger(__name__)

QUEUE = "celery"

app = Celery("switchboard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

if broker.in_use():
    app.conf.broker_url = "pgmq://"
    app.conf.broker_transport_options = broker.transport_options()

app.conf.update(
    # A worker whose broker is down starts and goes on (the courier in it needs no broker), and
    # connects when the broker is back.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # One producer connection: on pgmq each is a pool of database connections.
    broker_pool_limit=2,
    task_default_queue=QUEUE,
    task_publish_retry_policy={"max_retries": 2, "interval_start": 0.1, "interval_max": 0.5},
    worker_pool="threads",
    worker_concurrency=settings.WORKER_THREADS,
    worker_prefetch_multiplier=1,
    # Nothing here uses remote control, and its per-worker queues would need DDL on pgmq and block
    # the start of a twin with the same name elsewhere (performance.md, traps 4 and 5).
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    timezone="UTC",
)

# By name: beat reads this module too, and loads no Django app.
app.steps["worker"].add("integrations.courier.bootstep:CourierStep")

app.conf.beat_schedule = {
    "forget-ended-sessions": {
        "task": "config.tasks.forget_ended_sessions",
        "schedule": crontab(hour="3", minute="17"),
    },
    "write-down-failed-logins": {
        "task": "accounts.tasks.write_down_failed_logins",
        "schedule": crontab(minute="*/5"),
    },
    "forget-old-limits": {
        "task": "accounts.tasks.forget_old_limits",
        "schedule": crontab(hour="3", minute="27"),
    },
    "forget-old-deliveries": {
        "task": "integrations.tasks.prune",
        "schedule": crontab(hour="3", minute="47"),
    },
    # The agents' own jobs do this at once; beat is for one that was lost.
    "move-leftovers": {
        "task": "agents.tasks.move_leftovers",
        "schedule": crontab(minute="*/10"),
    },
    "follow-system-agents": {
        "task": "agents.tasks.follow_leftovers",
        "schedule": crontab(minute="*/10"),
    },
    "finish-removed-inboxes": {
        "task": "integrations.tasks.finish_leftovers",
        "schedule": crontab(minute="*/10"),
    },
    "wipe-latecomers": {
        "task": "conversations.tasks.wipe_latecomers",
        "schedule": crontab(minute="*/10"),
    },
    "add-up-tallies": {
        "task": "conversations.tasks.add_up_tallies",
        "schedule": crontab(minute="*/2"),
        "options": {"expires": 120},  # the next one does all of it
    },
    "forget-old-answers": {
        "task": "accounts.tasks.forget_old_answers",
        "schedule": crontab(minute="37"),
    },
}


@celeryd_init.connect
def name_worker(sender: str, instance: Any, conf: Any, **kwargs: Any) -> None:
    """Every worker gets a name of its own, so that no dead twin stands in its way."""
    if not any(argument.startswith(("-n", "--hostname")) for argument in sys.argv):
        instance.hostname = f"worker-{os.getpid()}@{socket.gethostname()}"


@worker_init.connect
def keep_silent(sender: Any, **kwargs: Any) -> None:
    """No worker tells the others of itself: nobody here listens to heartbeats, gossip and mingle.

    On pgmq each of them, every two seconds, is a failed call in the database's log. Celery has them
    as switches of the command line only; here they hold for a worker that somebody starts by hand.
    """
    sender.options |= dict.fromkeys(("without_heartbeat", "without_gossip", "without_mingle"), True)


@beat_init.connect
def connect_at_once(**kwargs: Any) -> None:
    """Beat needs its broker every five minutes. What it loads for that it loads at the start, so that it is
    then as large as it will be; and who starts it hears at once that the broker is away."""
    with app.producer_or_acquire() as producer:
        try:
            producer.connection.ensure_connection(max_retries=1, interval_start=0.2)
        except (OperationalError, *producer.connection.connection_errors) as error:
            logger.warning("broker away error=%s", type(error).__name__)


@worker_init.connect
def refuse_unsafe(**kwargs: Any) -> None:
    """A worker does not start on settings or a database role that the system checks refuse."""
    from config.checks import refuse_to_boot

    refuse_to_boot()
