"""May we call this address? The room that makes the calls knows, and registers its answer here.

Asked when somebody enters an address; what counts is the same check at every connect (DL-111). A name
server takes its time, so it is always asked before a transaction opens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from accounts.auth import can
from accounts.models import Member
from accounts.permissions import Permission
from accounts.tenancy import account_context

# Says in a sentence why an address is refused; empty when it may be called. May wait for DNS.
Check = Callable[[str], str]
View = Callable[..., HttpResponseBase]
_checks: list[Check] = []


def register(check: Check) -> None:
    """Called from `AppConfig.ready` of the room above."""
    if check not in _checks:
        _checks.append(check)


def problem(url: str) -> str:
    """Why `url` is refused; empty when nobody objects."""
    return next((sentence for check in _checks if (sentence := check(url))), "")


# --- At the doors --------------------------------------------------------------------------------


def refuse_bad(request: Request) -> None:
    """REST: an address that we would not connect to is refused before it is kept (bad inputs 43, 47).

    Raises `ValidationError`.
    """
    url = request.data.get("url") if isinstance(request.data, dict) else None
    if isinstance(url, str) and url and (sentence := problem(url)):
        raise ValidationError({"url": [sentence]}, code="blocked_address")


def check_printable(url: str) -> None:
    """REST: no sign that could break a header. Raises `ValidationError`."""
    if not url.isprintable() or " " in url:
        raise ValidationError(_("An address has no spaces and no control signs."))


def judged(permission: Permission, known: Callable[[str], str]) -> Callable[[View], View]:
    """A page that takes an address: the view finds an `objection`, made before its transaction opens.

    A transaction that waits for a name server keeps its locks and its connection from everybody else.
    Hence outermost, above `member_required`: who has not `permission` is let through unjudged and
    refused there. `known` says the present address of a public id, which is not asked about again.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def judging(request: HttpRequest, **kwargs: str) -> HttpResponseBase:
            objection = ""
            url, public_id = request.POST.get("url", "").strip(), kwargs.get("public_id")
            if url and can(request, permission):
                member: Member = request.member  # type: ignore[attr-defined]  # `can` has seen it
                with account_context(member.account_id):
                    unchanged = public_id is not None and known(public_id) == url
                objection = "" if unchanged else problem(url)
            return view(request, objection=objection, **kwargs)

        return judging

    return decorate


class AddressForm(forms.Form):
    """A form with a field `url`, whose address was judged before the page's transaction opened."""

    def __init__(self, *args: Any, objection: str = "", known: str = "", **kwargs: Any) -> None:
        """`objection`: why we would not call the posted address. `known`: the present one, which is
        not judged again."""
        super().__init__(*args, **kwargs)
        self.objection, self.known = objection, known

    def clean_url(self) -> str:
        """Refused at save already (bad inputs 43 to 47)."""
        url = str(self.cleaned_data["url"]).strip()
        if self.objection and url != self.known:
            raise forms.ValidationError(self.objection)
        return url
