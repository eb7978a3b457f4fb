"""Staff: the webhooks of the visited account, to be read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from accounts.redaction import mask
from accounts.staff import ContentAdmin
from conversations.models import Endpoint


@admin.register(Endpoint)
class SubscriberAdmin(ContentAdmin):
    """Agents' endpoints stand with their agents."""

    list_display = ("name", "address", "state", "strict_order", "last_success_at", "last_failure")
    list_filter = ("state",)
    ordering = ("name", "pk")
    fields = (
        "name", "address", "state", "disabled_reason", "disabled_at", "events", "strict_order",
        "timeout_s", "breaker", "consecutive_failures", "last_success_at", "last_failure",
        "created_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(kind=Endpoint.Kind.SUBSCRIBER)

    @admin.display(description=gettext_lazy("URL"))
    def address(self, endpoint: Endpoint) -> str:
        return endpoint.place

    @admin.display(description=gettext_lazy("Events"))
    def events(self, endpoint: Endpoint) -> str:
        return ", ".join(endpoint.event_types) or "all"

    @admin.display(description=gettext_lazy("Last failure"))
    def last_failure(self, endpoint: Endpoint) -> str:
        return f"{endpoint.last_failure_at or '–'} {mask(endpoint.last_error)}"
