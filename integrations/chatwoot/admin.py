"""Staff: the programs that make bots over the platform API, and the bots they made for all accounts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from accounts import support
from accounts.staff import StaffAdmin
from integrations.chatwoot.models import PlatformApp


@admin.register(PlatformApp)
class PlatformAppAdmin(StaffAdmin):
    """All staff see them and switch them off; superusers say for which accounts they act. Tokens are made by
    `manage.py platform_token`, and shown there only."""

    list_display = ("name", "active", "created_at", "last_used_at")
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "active", "accounts", "made", "created_at", "last_used_at")
    filter_horizontal = ("accounts",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    has_change_permission = has_view_permission

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Whoever sees a token in the wrong hands ends it; to let it in again is more."""
        kept = ("made", "created_at", "last_used_at")
        if support.is_super(request):
            return kept
        off = obj is not None and not obj.active
        return (*kept, "name", "accounts", *(("active",) if off else ()))

    @admin.display(description=gettext_lazy("System bots"))
    def made(self, app: PlatformApp) -> str:
        numbers = app.bots.filter(account__isnull=True).order_by("number")
        return ", ".join(str(bot.number) for bot in numbers) or "–"
