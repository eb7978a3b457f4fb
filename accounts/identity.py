"""Logging in: the one way to a session, for the pages, the REST API and whatever comes later.

A right password alone never gives a session when the person has a second factor (SX-42): it gives a
short-lived token, and `verify_second_factor` turns that token and a code into a session.

    outcome = log_in(request, email, password)
    match outcome:
        case LoggedIn(): ...                  # the session is there, with a new key
        case SecondFactorNeeded(token=token): ...  # ask for the code, then verify_second_factor
        case Refused(message=message): ...    # show it; `status` is 400 or 429, `wait` in seconds
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass
from typing import Any

from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import connection, transaction
from django.db.models import F
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import failures, limits
from accounts.audit import audit
from accounts.ids import decode
from accounts.limits import Limit, Patience
from accounts.models import Member, User
from accounts.origin import client_ip, ip_prefix
from accounts.sessions import SESSION_VERSION, mark_proved
from accounts.tenancy import account_context

logger = logging.getLogger(__name__)

BACKEND = "django.contrib.auth.backends.ModelBackend"
TOKEN_LIFE = 300
_TOKEN_SALT = "accounts.identity.second_factor"  # noqa: S105 - a salt, not a secret

# SX-44: by (e-mail, network), so that a stranger elsewhere cannot lock somebody out.
WRONG_PASSWORDS = Patience("login", free=5, first=5, window=900)
FAILURES_PER_NETWORK = Limit("login-network", capacity=50, per_second=50 / 900)
TRIES_PER_TOKEN = Limit("factor-token", capacity=5, per_second=0)
CODES_PER_NETWORK = Limit("factor-network", capacity=5, per_second=5 / 300)
CODES_PER_USER = Limit("factor-user", capacity=30, per_second=30 / 3600)
# A code of the authenticator app is good for one use, also across processes.
CODE_ONCE = Limit("factor-code", capacity=1, per_second=1 / 120)
ANONYMOUS = Limit("anonymous", capacity=20, per_second=20 / 60)
LETTERS = Limit("reset-letters", capacity=3, per_second=3 / 3600)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The session is this user's now."""

    user: User


@dataclass(frozen=True, slots=True)
class SecondFactorNeeded:
    """The password was right; `token` is good for `TOKEN_LIFE` seconds, one use, five tries."""

    token: str


@dataclass(frozen=True, slots=True)
class Refused:
    """No session. The same for an unknown e-mail as for a wrong password (SX-46)."""

    code: str
    message: str
    status: int = 400
    wait: int = 0


Outcome = LoggedIn | SecondFactorNeeded | Refused


def log_in(request: HttpRequest, email: str, password: str) -> Outcome:
    """Check e-mail and password; start a session unless a second factor is due.

    Call it outside a transaction: failures are counted even when nothing else is kept.
    """
    email, network = email.strip().lower(), ip_prefix(client_ip(request))
    address = f"{_digest(email)}:{network}"
    taken = limits.take(FAILURES_PER_NETWORK, network)
    if not taken.allowed:
        return _too_many(taken.wait)
    wait = limits.begin_attempt(WRONG_PASSWORDS, address)
    if wait:
        return _too_many(wait)
    # ModelBackend hashes for an unknown e-mail too, so both take the same time.
    user = ModelBackend().authenticate(request, username=email, password=password)
    if not isinstance(user, User):
        logger.info("login outcome=refused network=%s", network)
        known = User.objects.filter(email=email).first()
        failures.note(known, step="password", network=network, email_digest=_digest(email))
        return Refused("invalid_login", _("The e-mail or the password is wrong."))
    limits.forget(WRONG_PASSWORDS.name, address)
    limits.give_back(FAILURES_PER_NETWORK, network)
    if has_second_factor(user):
        return SecondFactorNeeded(_make_token(user))
    _start_session(request, user, method="password")
    return LoggedIn(user)


def verify_second_factor(request: HttpRequest, token: str, code: str) -> LoggedIn | Refused:
    """Turn a token of `log_in` and a code (authenticator app or recovery code) into a session."""
    try:
        payload = signing.loads(token, salt=_TOKEN_SALT, max_age=TOKEN_LIFE)
    except signing.BadSignature:
        return _token_over()
    user = User.objects.filter(
        pk=payload["user"], is_active=True, auth_version=payload["version"]
    ).first()
    if user is None:
        return _token_over()
    tries = limits.take(TRIES_PER_TOKEN, payload["nonce"])
    if not tries.allowed:
        return _token_over() if tries.remaining < 0 else _too_many(TOKEN_LIFE)
    refusal = confirm_code(request, user, code)
    if refusal is not None:
        return refusal
    limits.empty(TRIES_PER_TOKEN, payload["nonce"])
    _start_session(request, user, method="mfa")
    return LoggedIn(user)


def begin_session(request: HttpRequest, member: Member) -> None:
    """A session for somebody who has just become a user and has proved their e-mail thereby."""
    if member.user is not None:
        _start_session(request, member.user, method="email")


def log_in_by_link(request: HttpRequest, user: User) -> LoggedIn | SecondFactorNeeded:
    """For somebody proved by a link of the operator's: it counts as the password, and no more."""
    if has_second_factor(user):
        return SecondFactorNeeded(_make_token(user))
    _start_session(request, user, method="link")
    return LoggedIn(user)


def has_second_factor(user: User) -> bool:
    """Whether the password alone is not enough."""
    factors = Authenticator.objects.filter(user=user)
    return bool(factors.exclude(type=Authenticator.Type.RECOVERY_CODES).exists())


def check_code(user: User, code: str) -> bool:
    """Whether `code` is the authenticator's present code, or an unused recovery code. Spends it."""
    code = code.strip().replace(" ", "")
    if not code or len(code) > 40:
        return False
    for kind in (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES):
        found = Authenticator.objects.filter(user=user, type=kind).first()
        if found is None or not found.wrap().validate_code(code):
            continue
        if (
            kind == Authenticator.Type.TOTP
            and not limits.take(CODE_ONCE, f"{user.pk}:{code}").allowed
        ):
            return False
        found.record_usage()
        if kind == Authenticator.Type.RECOVERY_CODES:
            tell_accounts(user, "factor.recovery_code_used")
        return True
    return False


def prove_again(request: HttpRequest, user: User, proof: str) -> Refused | None:
    """Whether whoever holds this session is still its person (SX-43); makes the session fresh.

    `proof` is a code for somebody with a second factor, else the password. None: it was right.
    """
    check = confirm_code if has_second_factor(user) else confirm_password
    refusal = check(request, user, proof)
    if refusal is None:
        mark_proved(request.session)
    return refusal


def confirm_code(request: HttpRequest, user: User, code: str) -> Refused | None:
    """Whether whoever holds this session has the second factor at hand; guesses are few."""
    wait = _too_many_codes(request, user)
    if wait:
        return _too_many(wait)
    if not check_code(user, code):
        failures.note(user, step="second factor", network=ip_prefix(client_ip(request)))
        return _wrong_code()
    _forget_codes(request, user)
    return None


def log_out(request: HttpRequest) -> None:
    """End this session; its key is worth nothing afterwards."""
    if isinstance(request.user, User):
        tell_accounts(request.user, "logout", request=request)
    logout(request)


# --- Passwords -----------------------------------------------------------------------------------


def confirm_password(request: HttpRequest, user: User, password: str) -> Refused | None:
    """Whether whoever holds this session knows the password; guesses are slowed as at login."""
    network = ip_prefix(client_ip(request))
    address = f"{_digest(user.email)}:{network}"
    wait = limits.begin_attempt(WRONG_PASSWORDS, address)
    if wait:
        return _too_many(wait)
    if not user.check_password(password):
        failures.note(user, step="present password", network=network)
        return Refused("wrong_password", _("The present password is wrong."))
    limits.forget(WRONG_PASSWORDS.name, address)
    return None


def change_password(request: HttpRequest, user: User, password: str) -> None:
    """Set a new password: every other session ends, this one gets a new key.

    Raises Django's `ValidationError` for a weak one.
    """
    validate_password(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    end_other_sessions(user, keep=request)
    tell_accounts(user, "password.changed", request=request)


def end_other_sessions(user: User, *, keep: HttpRequest | None = None) -> None:
    """After a change of password, role or second factor (SX-24): only `keep`'s session lives on."""
    User.objects.filter(pk=user.pk).update(auth_version=F("auth_version") + 1)
    user.refresh_from_db(fields=["auth_version"])
    for member in Member.objects.filter(user=user):
        close_streams(member)
    if keep is not None:
        update_session_auth_hash(keep, user)
        keep.session[SESSION_VERSION] = user.auth_version


def tell_accounts(
    user: User, action: str, *, request: HttpRequest | None = None, **changes: Any
) -> None:
    """Write what a person did with their login into the audit log of each of their accounts."""
    network = ip_prefix(client_ip(request)) if request is not None else ""
    for member in Member.objects.active().filter(user=user):
        with account_context(member.account_id):
            audit(action, by=member, target=member, changes=changes, ip=network)


def close_streams(member: Member) -> None:
    """Tell the live stream that this member may not listen any more, at commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_notify('switchboard_live', json_build_object("
            "'account', %s::bigint, 'revoked_member', %s::bigint)::text)",
            [member.account_id, member.pk],
        )


def request_password_reset(request: HttpRequest, email: str) -> Refused | None:
    """Queue a letter with a link. None in every other case: it does not tell who is known (SX-46)."""
    from accounts.tasks import send_password_reset

    email = email.strip().lower()
    for limit, key in ((ANONYMOUS, ip_prefix(client_ip(request))), (LETTERS, _digest(email))):
        taken = limits.take(limit, key)
        if not taken.allowed:
            return _too_many(taken.wait)
    send_password_reset.delay(email)
    return None


def send_reset_letter(email: str) -> bool:
    """Write to the person behind `email`, if there is one; the job's half of the request."""
    user = User.objects.filter(email=email, is_active=True).first()
    if user is None:
        return False
    path = reverse(
        "password_reset_confirm", args=[user.public_id, default_token_generator.make_token(user)]
    )
    with translation.override(user.language):
        body = render_to_string(
            "accounts/letters/password_reset.txt",
            {"user": user, "link": f"{settings.PUBLIC_URL}{path}"},
        )
        send_mail(_("Choose a new password"), body, None, [user.email])
    return True


def user_of_reset_link(uid: str, token: str) -> User | None:
    """The person a reset link belongs to; None when it was used, is old, or was never ours."""
    try:
        user = User.objects.filter(pk=decode("usr", uid), is_active=True).first()
    except ValueError:
        return None
    return user if user is not None and default_token_generator.check_token(user, token) else None


@transaction.atomic
def reset_password(uid: str, token: str, password: str) -> User | None:
    """Set the password by a reset link, once; None when the link is worth nothing.

    Starts no session: a second factor stays due. Raises `ValidationError` for a weak password.
    """
    found = user_of_reset_link(uid, token)
    if found is None:
        return None
    # Locked and looked at again: two browsers cannot both use the link.
    User.objects.select_for_update().get(pk=found.pk)
    user = user_of_reset_link(uid, token)
    if user is None:
        return None
    validate_password(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    end_other_sessions(user)
    tell_accounts(user, "password.reset")
    return user


def password_problems(password: str, user: User | None = None) -> list[str]:
    """What is wrong with a password, in sentences; empty when nothing is."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        return list(error.messages)
    return []


# --- Inside --------------------------------------------------------------------------------------


def _start_session(request: HttpRequest, user: User, *, method: str) -> None:
    """A session with a new key, whatever cookie came before (bad input 22)."""
    login(request, user, backend=BACKEND)
    request.session[SESSION_VERSION] = user.auth_version
    mark_proved(request.session)
    record_authentication(request, user, method)
    tell_accounts(user, "login", request=request, method=method)


def _make_token(user: User) -> str:
    payload = {"user": user.pk, "version": user.auth_version, "nonce": secrets.token_urlsafe(12)}
    return signing.dumps(payload, salt=_TOKEN_SALT)


def _too_many_codes(request: HttpRequest, user: User) -> int:
    """Seconds to wait before this person may try another code; 0 for none."""
    for limit, key in _code_limits(request, user):
        taken = limits.take(limit, key)
        if not taken.allowed:
            return taken.wait
    return 0


def _forget_codes(request: HttpRequest, user: User) -> None:
    for limit, key in _code_limits(request, user):
        limits.forget(limit.name, key)


def _code_limits(request: HttpRequest, user: User) -> tuple[tuple[Limit, str], ...]:
    network = ip_prefix(client_ip(request))
    return ((CODES_PER_NETWORK, f"{user.pk}:{network}"), (CODES_PER_USER, str(user.pk)))


def _digest(email: str) -> str:
    return hashlib.sha256(email.encode(errors="replace")).hexdigest()[:32]


def _too_many(wait: int) -> Refused:
    message = _("Too many attempts. Try again in %(wait)d seconds.") % {"wait": wait}
    return Refused("too_many_attempts", message, status=429, wait=wait)


def _wrong_code() -> Refused:
    return Refused("invalid_code", _("This code is not valid. Wait for the next one."))


def _token_over() -> Refused:
    return Refused("login_expired", _("This login took too long. Enter your password again."))
