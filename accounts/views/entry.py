"""Coming in and going out: sign up, log in, second factor, forgotten password, invitation."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import identity, proof, services, signing_up
from accounts.auth import MemberRequest
from accounts.errors import AccountsError, InvitationOverError
from accounts.forms import (
    AccountNameForm,
    CodeForm,
    JoinForm,
    LoginForm,
    NewPasswordForm,
    ProofForm,
    ResetForm,
    SignUpForm,
)
from accounts.identity import LoggedIn, Refused, SecondFactorNeeded
from accounts.ids import decode
from accounts.models import Invitation, Member
from accounts.origin import client_ip, ip_prefix
from accounts.pages import safe_next, show
from accounts.sessions import SESSION_MEMBER
from accounts.tenancy import account_context

FACTOR_SLOT = "second_factor"
page = require_http_methods(["GET", "HEAD", "POST"])


@never_cache
@page
@sensitive_post_parameters("password")
def log_in(request: HttpRequest) -> HttpResponse:
    """E-mail and password; then perhaps a code."""
    if request.user.is_authenticated:
        return redirect(safe_next(request))
    form = LoginForm(request.POST or None)
    if form.is_valid():
        outcome = identity.log_in(request, **form.cleaned_data)
        if isinstance(outcome, LoggedIn):
            return redirect(safe_next(request))
        if isinstance(outcome, SecondFactorNeeded):
            request.session[FACTOR_SLOT] = {"token": outcome.token, "next": safe_next(request)}
            return redirect("login_code")
        return _refused(request, "accounts/login.html", form, outcome)
    return show(request, "accounts/login.html", {"next": safe_next(request, "")}, form=form)


def _refused(
    request: HttpRequest, template: str, form: LoginForm | CodeForm | ResetForm, refusal: Refused
) -> HttpResponse:
    """The same form with the reason; 429 when it was tried too often."""
    form.add_error(None, refusal.message)
    status = refusal.status if refusal.status == 429 else 422
    response = render(
        request, template, {"form": form, "next": safe_next(request, "")}, status=status
    )
    if refusal.wait:
        response["Retry-After"] = str(refusal.wait)
    return response


@never_cache
@page
def log_in_code(request: HttpRequest) -> HttpResponse:
    """The second step: a code of the authenticator app, or a recovery code."""
    waiting = request.session.get(FACTOR_SLOT)
    if not waiting:
        return redirect("login")
    form = CodeForm(request.POST or None)
    if form.is_valid():
        outcome = identity.verify_second_factor(
            request, waiting["token"], form.cleaned_data["code"]
        )
        if isinstance(outcome, LoggedIn):
            request.session.pop(FACTOR_SLOT, None)
            return redirect(waiting["next"])
        if outcome.code == "login_expired":
            request.session.pop(FACTOR_SLOT, None)
            messages.error(request, outcome.message)
            return redirect("login")
        return _refused(request, "accounts/login_code.html", form, outcome)
    return show(request, "accounts/login_code.html", {}, form=form)


@login_required
@never_cache
@page
@sensitive_post_parameters("proof")
def prove(request: MemberRequest) -> HttpResponse:
    """Before a sensitive act: the code again, or the password; then on to where it was asked for."""
    form, refusal = ProofForm(request.POST or None, user=request.user), None
    if form.is_valid():
        refusal = proof.give(request, form)
        if refusal is None:
            if request.POST.get("again"):
                messages.info(request, _("Thank you. Nothing has been done yet: do it again now."))
            return redirect(safe_next(request))
    again = request.POST.get("again") or request.GET.get("again")
    return proof.ask(request, form, refusal, next=safe_next(request, ""), again=again)


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    identity.log_out(request)
    messages.success(request, _("You are logged out."))
    return redirect("login")


@never_cache
@page
@sensitive_post_parameters("password")
def sign_up(request: HttpRequest) -> HttpResponse:
    """A new account; the answer is the same whether the e-mail is known or not (SX-46)."""
    if request.user.is_authenticated:
        return redirect("accounts")
    form = SignUpForm(request.POST or None)
    if form.is_valid():
        try:
            signing_up.begin(
                request.session,
                form.cleaned_data,
                network=ip_prefix(client_ip(request)),
                language=get_language() or "en-gb",
            )
            return redirect("sign_up_code")
        except AccountsError as error:
            form.add_error(None, error.message)
    return show(request, "accounts/sign_up.html", {}, form=form)


@never_cache
@page
def sign_up_code(request: HttpRequest) -> HttpResponse:
    """The code from the letter makes the account."""
    email = signing_up.waiting(request.session)
    if not email:
        return redirect("sign_up")
    form = CodeForm(request.POST or None)
    if form.is_valid():
        try:
            member = signing_up.finish(request.session, form.cleaned_data["code"])
        except AccountsError as error:
            form.add_error("code", error.message)
        else:
            identity.begin_session(request, member)
            return redirect("setup")
    return show(request, "accounts/sign_up_code.html", {"email": email}, form=form)


@never_cache
@page
def reset(request: HttpRequest) -> HttpResponse:
    """Ask for a letter with a link; the answer says nothing of who is known."""
    form = ResetForm(request.POST or None)
    if form.is_valid():
        refusal = identity.request_password_reset(request, form.cleaned_data["email"])
        if refusal is None:
            return render(request, "accounts/reset_sent.html", form.cleaned_data)
        return _refused(request, "accounts/reset.html", form, refusal)
    return show(request, "accounts/reset.html", {}, form=form)


@never_cache
@page
@sensitive_post_parameters("password")
def reset_confirm(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """Choose a new password by the link in the letter, once."""
    if identity.user_of_reset_link(uid, token) is None:
        return _private(render(request, "accounts/reset_over.html", status=410))
    form = NewPasswordForm(request.POST or None)
    if form.is_valid():
        try:
            user = identity.reset_password(uid, token, form.cleaned_data["password"])
        except ValidationError as error:
            form.add_error("password", error)
        else:
            if user is None:
                return _private(render(request, "accounts/reset_over.html", status=410))
            messages.success(request, _("Your new password is set. Log in with it."))
            return redirect("login")
    return _private(show(request, "accounts/reset_confirm.html", {}, form=form))


def _private(response: HttpResponse) -> HttpResponse:
    """The address is a secret: it is not told to the next page (SX-71)."""
    response["Referrer-Policy"] = "no-referrer"
    return response


# --- Invitations ---------------------------------------------------------------------------------


@never_cache
@page
@sensitive_post_parameters("password")
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Accept an invitation: as somebody new, or with the login one has."""
    try:
        offer = services.find_invitation(token)
        if request.user.is_authenticated:
            return _join_with_login(request, offer)
        if services.is_known(offer.email):
            return _private(render(request, "accounts/invitation_login.html", {"offer": offer}))
        return _join_as_new(request, offer)
    except InvitationOverError as error:
        context = {"reason": error.message}
        return _private(render(request, "accounts/invitation_over.html", context, status=410))


def _join_with_login(request: HttpRequest, offer: Invitation) -> HttpResponse:
    if request.method == "POST":
        with account_context(offer.account_id):
            member = services.accept_invitation(offer, request.user)  # type: ignore[arg-type]
        return _enter(request, member)
    return _private(render(request, "accounts/invitation_join.html", {"offer": offer}))


def _join_as_new(request: HttpRequest, offer: Invitation) -> HttpResponse:
    form = JoinForm(request.POST or None, initial={"name": offer.name})
    if form.is_valid():
        member = services.join_as_new(
            offer, **form.cleaned_data, language=get_language() or "en-gb"
        )
        identity.begin_session(request, member)
        return _enter(request, member)
    return _private(show(request, "accounts/invitation_new.html", {"offer": offer}, form=form))


def _enter(request: HttpRequest, member: Member) -> HttpResponse:
    request.session[SESSION_MEMBER] = member.pk
    messages.success(request, _("You are in %(name)s now.") % {"name": member.account.name})
    return redirect("home")


# --- Accounts of one person ----------------------------------------------------------------------


@login_required
@require_safe
def no_account(request: MemberRequest) -> HttpResponse:
    """Logged in, but in nobody's account."""
    if request.member is not None:
        return redirect("home")
    return render(request, "accounts/no_account.html")


@login_required
@require_safe
def accounts(request: MemberRequest) -> HttpResponse:
    """Every account this person is in, to change over."""
    memberships = Member.objects.active().filter(user=request.user).select_related("account")
    return render(
        request, "accounts/accounts.html", {"memberships": memberships.order_by("account__name")}
    )


@login_required
@require_POST
def switch_account(request: MemberRequest) -> HttpResponse:
    try:
        wanted = decode("mem", request.POST.get("member", ""))
    except ValueError:
        wanted = 0
    member = Member.objects.active().filter(user=request.user, pk=wanted).first()
    if member is not None:
        request.session[SESSION_MEMBER] = member.pk
    return redirect("home")


@login_required
@page
def create_account(request: MemberRequest) -> HttpResponse:
    """Another account of the same person."""
    form = AccountNameForm(request.POST or None)
    if form.is_valid():
        language = get_language() or "en-gb"
        member = services.create_account(
            form.cleaned_data["name"], owner=request.user, locale=language
        )
        request.session[SESSION_MEMBER] = member.pk
        return redirect("setup")
    return show(request, "accounts/create_account.html", {}, form=form)
