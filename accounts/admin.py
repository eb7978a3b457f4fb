"""Staff: the list of accounts and the way into one, and what superusers manage."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import support
from accounts.audit import audit
from accounts.identity import end_other_sessions, has_second_factor
from accounts.models import Account, AuditEntry, Member, Plan, SupportSession, Team, User
from accounts.redaction import mask
from accounts.staff import (
    ContentAdmin,
    ReasonForm,
    StaffAdmin,
    SuperAdmin,
    pretty,
    user_of,
)
from accounts.tenancy import account_context

# Packages bring pages of their own: what people may do is a role in an account, and second factors
# are nobody's to look at.
for foreign in (Group, EmailAddress, Authenticator):
    if admin.site.is_registered(foreign):
        admin.site.unregister(foreign)


@admin.register(Account)
class AccountAdmin(StaffAdmin):
    """Accounts by name: no content, but the way in. Superusers change name and plan."""

    list_display = ("name", "slug", "plan", "created_at", "way_in")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "plan", "support_access", "created_at", "way_in")
    readonly_fields = ("slug", "support_access", "created_at", "way_in")
    list_select_related = ("plan",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return support.is_super(request)

    @admin.display(description=gettext_lazy("Look inside"))
    def way_in(self, account: Account) -> SafeString | str:
        if not account.support_access:
            return _("the owner keeps support out")
        url = reverse("admin:account_enter", args=[account.pk])
        return format_html('<a class="staff-link" href="{}">{}</a>', url, _("Enter with a reason"))

    def get_urls(self) -> list[URLPattern]:
        enter = self.admin_site.admin_view(self.enter)
        own = [path("<int:pk>/enter/", enter, name="account_enter")]
        return [*own, *super().get_urls()]

    def enter(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for the reason, then begin the visit."""
        account = get_object_or_404(Account, pk=pk)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            try:
                reason = form.cleaned_data["reason"]
                support.enter(request, account, user=user_of(request), reason=reason)
            except support.SupportRefusedError as refusal:
                form.add_error(None, refusal.message)
            else:
                return redirect("admin:index")
        context = {
            **self.admin_site.each_context(request),
            "title": _("Enter %(name)s") % {"name": account.name},
            "account": account,
            "minutes": int(support.LIFE.total_seconds() // 60),
            "form": form,
        }
        return TemplateResponse(
            request, "admin/enter_account.html", context, status=422 if form.errors else 200
        )

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        with account_context(obj):
            changes = {name: str(form.cleaned_data[name]) for name in form.changed_data}
            name = user_of(request).email
            audit(
                "account.changed",
                by=None,
                target=obj,
                changes=changes,
                actor_kind="support",
                actor_name=name,
            )


@admin.register(Plan)
class PlanAdmin(StaffAdmin):
    list_display = ("name",)
    fields = ("name", "entitlements")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return support.is_super(request)

    has_change_permission = has_add_permission


@admin.register(User)
class UserAdmin(SuperAdmin):
    """People who log in. Passwords are set by their owners alone, through a reset letter."""

    list_display = ("email", "name", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email", "name")
    ordering = ("email",)
    fields = (
        "email", "name", "language", "is_active", "is_staff", "is_superuser", "second_factor",
        "last_login", "date_joined",
    )  # fmt: skip
    readonly_fields = ("second_factor", "last_login", "date_joined")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return support.is_super(request)

    has_change_permission = has_add_permission

    @admin.display(description=gettext_lazy("Second factor"), boolean=True)
    def second_factor(self, user: User) -> bool:
        return user.pk is not None and has_second_factor(user)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        obj.email = obj.email.strip().lower()
        if not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)
        if change and {"is_active", "is_staff", "is_superuser", "email"} & set(form.changed_data):
            # Their sessions began with other rights; one's own goes on.
            end_other_sessions(obj, keep=request if obj.pk == request.user.pk else None)


@admin.register(SupportSession)
class SupportSessionAdmin(SuperAdmin):
    """Who was in which account, and why."""

    list_display = ("started_at", "user", "account", "reason", "expires_at", "ended_at")
    search_fields = ("user__email", "account__name", "reason")
    list_select_related = ("user", "account")
    ordering = ("-started_at",)
    fields = list_display


@admin.register(Member)
class MemberAdmin(ContentAdmin):
    list_display = ("name", "kind", "role", "active")
    list_filter = ("kind", "role", "active")
    search_fields = ("name",)
    fields = ("name", "kind", "role", "masked_email", "active", "created_at")

    @admin.display(description=gettext_lazy("E-mail"))
    def masked_email(self, member: Member) -> str:
        return mask(member.user.email) if member.user else ""


@admin.register(Team)
class TeamAdmin(ContentAdmin):
    list_display = ("name", "description")
    fields = ("name", "description", "people", "created_at")

    @admin.display(description=gettext_lazy("Members"))
    def people(self, team: Team) -> str:
        return ", ".join(member.name for member in team.members.all())


@admin.register(AuditEntry)
class AuditEntryAdmin(ContentAdmin):
    list_display = ("at", "actor", "action", "subject", "reason")
    list_filter = ("actor_kind",)
    search_fields = ("action",)
    ordering = ("-at", "-pk")
    fields = ("at", "actor", "action", "subject", "change", "reason", "ip")

    @admin.display(description=gettext_lazy("Who"))
    def actor(self, entry: AuditEntry) -> str:
        return f"{mask(entry.actor_name)} ({entry.actor_kind})"

    @admin.display(description=gettext_lazy("Object"))
    def subject(self, entry: AuditEntry) -> str:
        return mask(f"{entry.object_kind} {entry.object_name}".strip())

    @admin.display(description=gettext_lazy("Changes"))
    def change(self, entry: AuditEntry) -> SafeString:
        return pretty(entry.changes)

    def masked(self, row: AuditEntry) -> AuditEntry:
        row.actor_name = mask(row.actor_name)
        return row
