"""Housekeeping jobs of the house itself; beat starts them (config/celery.py)."""

from __future__ import annotations

from celery import shared_task
from django.core.management import call_command


@shared_task
def forget_ended_sessions() -> None:
    """Delete sessions whose time is over."""
    call_command("clearsessions")
