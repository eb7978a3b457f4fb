"""One's own settings: profile, password, second factor. They need a login, not an account."""

from __future__ import annotations

from django import forms
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts import factor, identity
from accounts.auth import MemberRequest
from accounts.forms import ChangePasswordForm, FactorForm, ProfileForm, ProveForm
from accounts.models import Member, User
from accounts.pages import done, show
from accounts.permissions import Role
from accounts.proof import fresh_factor_required

page = require_http_methods(["GET", "HEAD", "POST"])


@login_required
@page
def profile(request: MemberRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=User.objects.get(pk=request.user.pk))
    if form.is_valid():
        user = form.save()
        translation.activate(user.language)
        return done(request, _("Saved."), "profile")
    return show(request, "accounts/profile.html", {"nudge": _nudge(request)}, form=form)


def _nudge(request: MemberRequest) -> bool:
    """Whether a stolen password of this person would open more than conversations (SX-43)."""
    member: Member | None = request.member
    rules = member is not None and member.role in (Role.OWNER, Role.ADMIN)
    return rules and not identity.has_second_factor(request.user)


def _proved(request: MemberRequest, form: forms.Form) -> bool:
    """Whether the form carries the present password; says so on the form when not."""
    refusal = identity.confirm_password(request, request.user, form.cleaned_data["current"])
    if refusal is not None:
        form.add_error("current", refusal.message)
    return refusal is None


@login_required
@page
@sensitive_post_parameters("current", "password")
def password(request: MemberRequest) -> HttpResponse:
    form = ChangePasswordForm(request.POST or None)
    if form.is_valid() and _proved(request, form):
        try:
            identity.change_password(request, request.user, form.cleaned_data["password"])
        except ValidationError as error:
            form.add_error("password", error)
        else:
            text = _("Your password is changed. Every other session of yours has ended.")
            return done(request, text, "security")
    return show(request, "accounts/password.html", {}, form=form)


@login_required
@require_http_methods(["GET", "HEAD"])
def security(request: MemberRequest) -> HttpResponse:
    context = {
        "on": identity.has_second_factor(request.user),
        "left": factor.recovery_codes_left(request.user),
    }
    return render(request, "accounts/security.html", context)


@login_required
@page
@sensitive_post_parameters("current", "code")
def switch_on_factor(request: MemberRequest) -> HttpResponse:
    """Scan, give a code, and keep the recovery codes that this answer shows once."""
    if identity.has_second_factor(request.user):
        return redirect("security")
    form = FactorForm(request.POST or None)
    if form.is_valid() and _proved(request, form):
        codes = factor.switch_on(request, request.user, form.cleaned_data["code"])
        if codes is not None:
            return render(request, "accounts/recovery_codes.html", {"codes": "\n".join(codes)})
        form.add_error("code", _("This code is not valid. Wait for the next one."))
    secret = factor.offered_secret(request)
    context = {"secret": secret, "picture": factor.qr_code(request.user, secret)}
    return show(request, "accounts/factor_on.html", context, form=form)


@login_required
@fresh_factor_required
@page
@sensitive_post_parameters("current")
def switch_off_factor(request: MemberRequest) -> HttpResponse:
    form = ProveForm(request.POST or None)
    if form.is_valid() and _proved(request, form):
        factor.switch_off(request, request.user)
        return done(request, _("The second factor is off."), "security")
    return show(request, "accounts/factor_off.html", {}, form=form)


@login_required
@fresh_factor_required
@page
@sensitive_post_parameters("current")
def recovery_codes(request: MemberRequest) -> HttpResponse:
    """New recovery codes instead of the old ones."""
    form = ProveForm(request.POST or None)
    if form.is_valid() and _proved(request, form):
        codes = factor.new_recovery_codes(request, request.user)
        return render(request, "accounts/recovery_codes.html", {"codes": "\n".join(codes)})
    return show(request, "accounts/recovery_new.html", {}, form=form)
