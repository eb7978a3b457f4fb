"""What a session must have shown before a page opens: a fresh proof, and perhaps a second factor.

Sensitive acts want a proof that is not older than ten minutes (SX-43): a code of somebody who has a
second factor, else the password. A form that comes too late is answered with the question; the
question carries the form's own fields along, so that the right answer goes on with the act.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect

from accounts import identity
from accounts.forms import ProofForm
from accounts.identity import Refused
from accounts.models import Member, User
from accounts.permissions import Role
from accounts.sessions import is_fresh

View = Callable[..., HttpResponseBase]
READS = ("GET", "HEAD")
# Never written into a page again: what proves somebody, and the token of the form before.
KEPT_OUT = frozenset({"csrfmiddlewaretoken", "proof", "code", "current", "password"})


def fresh_factor_required(view: View) -> View:
    """For pages that do nothing but a sensitive act: they ask before they show their form."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return question(request) or view(request, *args, **kwargs)

    return guarded


def question(request: HttpRequest) -> HttpResponse | None:
    """What to answer instead of the page: the question, or the way to it. None: go on."""
    if is_fresh(request.session):
        return None
    if request.htmx:  # type: ignore[attr-defined]  # django-htmx
        return HttpResponseClientRedirect(address(_page_of(request), again=True))
    if request.method in READS:
        return redirect(address(request.get_full_path()))
    given = request.POST if "proof" in request.POST else None
    form = ProofForm(given, user=cast(User, request.user))
    refusal = give(request, form) if form.is_valid() else None
    return None if form.is_valid() else ask(request, form, refusal, kept=_kept(request))


def give(request: HttpRequest, form: ProofForm) -> Refused | None:
    """Take the proof of a valid form; a refusal stands in the form's errors."""
    refusal = identity.prove_again(request, form.user, form.cleaned_data["proof"])
    if refusal is not None:
        form.add_error("proof", refusal.message)
    return refusal


def ask(
    request: HttpRequest,
    form: ProofForm,
    refusal: Refused | None = None,
    *,
    kept: list[tuple[str, str]] | None = None,
    **context: Any,
) -> HttpResponse:
    """The page with the question. `kept` are the fields of a form that was interrupted."""
    status = 422 if form.errors else (200 if kept is None else 403)
    context |= {"form": form, "kept": kept}
    response = render(request, "accounts/prove.html", context, status=status)
    if refusal is not None and refusal.wait:
        response.status_code = refusal.status
        response["Retry-After"] = str(refusal.wait)
    return response


def address(page: str, *, again: bool = False) -> str:
    """Where the question is asked before `page`; `again`: what was done there must be done again."""
    query = {"next": page} | ({"again": "1"} if again else {})
    return f"{reverse('prove')}?{urlencode(query)}"


def _page_of(request: HttpRequest) -> str:
    """The page that htmx asks from; never another site's."""
    page = request.htmx.current_url or ""  # type: ignore[attr-defined]  # django-htmx
    ours = url_has_allowed_host_and_scheme(
        page, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return page if ours else "/"


def _kept(request: HttpRequest) -> list[tuple[str, str]]:
    """The fields of the interrupted form, for hidden fields of the question."""
    return [
        (name, str(value))
        for name, values in request.POST.lists()
        if name not in KEPT_OUT
        for value in values
    ]


# --- The account's policy ------------------------------------------------------------------------


def lacks_required_factor(member: Member) -> bool:
    """Whether the account wants a second factor of this member, who has none (SX-43)."""
    return (
        member.account.factor_required
        and member.role in (Role.OWNER, Role.ADMIN)
        and member.user is not None
        and not identity.has_second_factor(member.user)
    )


def to_factor(request: HttpRequest) -> HttpResponse:
    """The only page that such a member gets."""
    text = _("This account asks its owners and admins for a second factor. Switch yours on first.")
    messages.warning(request, text)
    if request.htmx:  # type: ignore[attr-defined]  # django-htmx
        return HttpResponseClientRedirect(reverse("factor_on"))
    return redirect("factor_on")
