"""Small manners that all pages share: finding a row by its public id, and answering a form."""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import ids

M = TypeVar("M", bound=Model)


def find(rows: QuerySet[M], prefix: str, public_id: str) -> M:
    """The row behind a public id; a foreign or malformed one is a 404."""
    try:
        return get_object_or_404(rows, pk=ids.decode(prefix, public_id))
    except ValueError as error:
        raise Http404 from error


def show(
    request: HttpRequest, template: str, context: dict[str, Any], *, form: BaseForm | None = None
) -> HttpResponse:
    """The page; 422 when `form` came back with errors."""
    status = 422 if form is not None and form.is_bound and form.errors else 200
    return render(request, template, {**context, "form": form} if form else context, status=status)


def done(request: HttpRequest, text: str, to: str, *args: Any, undo: str = "") -> HttpResponse:
    """The act is done: go to the page named `to` and say so; `undo` is an address to POST to."""
    messages.success(request, text, extra_tags=undo)
    return redirect(to, *args)


def refused(request: HttpRequest, text: str, to: str, *args: Any) -> HttpResponse:
    """The act was refused: go to the page named `to` with the reason."""
    messages.error(request, text)
    return redirect(to, *args)


def safe_next(request: HttpRequest, fallback: str = "/") -> str:
    """Where to go after a login; never to another site (bad input 28)."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    allowed = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if allowed else fallback
