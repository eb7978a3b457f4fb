"""The staff admin: who may come in, and in which account's context its pages run.

Without a running visit (accounts/support.py) staff see accounts by name and nothing of what is in
them. With one, every page runs inside that account's context, so both walls hold here as anywhere.
Everything of an account is read-only (but what ended may be sent again, with a reason), and secrets are
in no form, list or title (SX-25).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.response import SimpleTemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from accounts import support
from accounts.identity import has_second_factor, log_out
from accounts.models import User
from accounts.redaction import mask
from accounts.tenancy import account_context

View = Callable[..., HttpResponseBase]


class StaffSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    """Logs in on our own page, with a second factor, and enters the account of the visit."""

    def has_permission(self, request: HttpRequest) -> bool:
        """Active staff with a second factor; asked several times a request, answered once."""
        user = request.user
        if not (user.is_authenticated and user.is_active and user.is_staff):
            return False
        if not hasattr(request, "_staff_allowed"):
            request._staff_allowed = has_second_factor(user)  # type: ignore[attr-defined]  # ours
        return bool(getattr(request, "_staff_allowed", False))

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect(f"{reverse('login')}?next={reverse('admin:index')}")
        if not request.user.is_staff:
            raise PermissionDenied
        if self.has_permission(request):
            return redirect("admin:index")
        return render(request, "admin/needs_factor.html", status=403)

    def logout(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        support.leave(request)
        log_out(request)
        return redirect("login")

    def index(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """No page of its own: the conversations during a visit, else the accounts."""
        inside = support.is_inside(request)
        page = "conversations_conversation" if inside else "accounts_account"
        return redirect(f"admin:{page}_changelist")

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        return cast(View, super().admin_view(_inside(view), cacheable))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = cast("dict[str, Any]", super().each_context(request))
        return {**context, "visit": support.current(request)}

    def extra_urls(self) -> list[URLPattern]:
        return [path("leave/", self.admin_view(require_POST(_leave)), name="leave")]


def _inside(view: View) -> View:
    """The page in the context of the visited account, rendered before that context ends."""

    @wraps(view)
    def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if support.is_stale(request):
            support.leave(request)
            log_out(request)
            return redirect(f"{reverse('login')}?next={request.path}")
        visit = support.current(request)
        if visit is None:
            return view(request, *args, **kwargs)
        with account_context(visit.account):
            response = view(request, *args, **kwargs)
            if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
                response.render()
            return response

    return inside


def _leave(request: HttpRequest) -> HttpResponse:
    support.leave(request)
    messages.success(request, _("You have left the account."))
    return redirect("admin:index")


class ReasonForm(forms.Form):
    """Why staff does it, for the account's audit log."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=250,
        min_length=support.SHORTEST_REASON,
        help_text=gettext_lazy("The account's owner reads it, for example a ticket number."),
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class StaffAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Nothing may be done, and nothing seen, but what a subclass allows."""

    actions = None
    show_full_result_count = False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


class SuperAdmin(StaffAdmin):
    """For superusers only."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return support.is_super(request)


class ContentAdmin(StaffAdmin):
    """What is in an account: to be read, during a visit, and only of the visited account.

    Subclasses list `fields` and `list_display` by name; `masked` changes what must not be read in
    full before it is shown, titles included.
    """

    # Opening one of these is written into the account's audit log.
    audited = False
    list_fullwidth = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        visit = support.current(request)
        return visit is not None and (obj is None or obj.account_id == visit.account_id)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        visit = support.current(request)
        if visit is None:
            raise PermissionDenied
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.filter(account_id=visit.account_id)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found is not None and self.audited and request.method == "GET":
            support.saw(request, self.masked(found))
        return self.masked(found) if found is not None else None

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        page.result_list = [self.masked(row) for row in page.result_list]
        return page

    def masked(self, row: Any) -> Any:
        """The row as staff may read it; never saved."""
        return row


def user_of(request: HttpRequest) -> User:
    """The staff member; the site has let nobody else in."""
    return cast(User, request.user)


def pretty(value: Any) -> SafeString:
    """JSON to read, without full phone numbers and e-mail addresses."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return format_html('<pre class="staff-json">{}</pre>', mask(text))


def table(head: list[str], rows: list[list[Any]]) -> SafeString:
    """A small table inside a page; every cell is escaped."""
    return format_html(
        '<table class="staff-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>',
        format_html_join("", "<th>{}</th>", [(title,) for title in head]),
        format_html_join(
            "", "<tr>{}</tr>", [(format_html_join("", "<td>{}</td>", _cells(row)),) for row in rows]
        ),
    )


def _cells(row: list[Any]) -> list[tuple[Any]]:
    return [(cell,) for cell in row]
