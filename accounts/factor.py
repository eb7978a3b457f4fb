"""Switching the second factor on and off. The store is allauth's, and the only one (SX-41)."""

from __future__ import annotations

from typing import cast

import segno
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret, validate_totp_code
from django.db import transaction
from django.http import HttpRequest
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe

from accounts import identity
from accounts.models import User
from accounts.sessions import mark_proved

ISSUER = "Switchboard"
SECRET_SLOT = "new_factor"  # noqa: S105 - the name of a place


def offered_secret(request: HttpRequest) -> str:
    """The secret that this session offers until a code of it is given."""
    return cast("str", request.session.setdefault(SECRET_SLOT, generate_totp_secret()))


def qr_code(user: User, secret: str) -> SafeString:
    """The picture an authenticator app scans, as inline SVG without styles of its own."""
    label = f"{ISSUER}:{user.email}"
    query = urlencode({"secret": secret, "issuer": ISSUER})
    picture = segno.make(f"otpauth://totp/{label}?{query}", error="m")
    # segno writes paths and numbers only; nothing of the address stands in the markup.
    return mark_safe(picture.svg_inline(scale=5, border=2, dark="#000", light="#fff"))  # noqa: S308


@transaction.atomic
def switch_on(request: HttpRequest, user: User, code: str) -> list[str] | None:
    """Start asking for codes at login; returns the recovery codes, or None for a wrong code."""
    secret = offered_secret(request)
    if not validate_totp_code(secret, code.replace(" ", "")):
        return None
    Authenticator.objects.filter(user=user).delete()
    TOTP.activate(user, secret)
    codes: list[str] = RecoveryCodes.activate(user).get_unused_codes()
    request.session.pop(SECRET_SLOT, None)
    mark_proved(request.session)
    _changed(request, user, "factor.added")
    return codes


@transaction.atomic
def switch_off(request: HttpRequest, user: User) -> None:
    """The password alone is enough again."""
    Authenticator.objects.filter(user=user).delete()
    _changed(request, user, "factor.removed")


@transaction.atomic
def new_recovery_codes(request: HttpRequest, user: User) -> list[str]:
    """Ten new codes; the old ones are worth nothing."""
    Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).delete()
    codes: list[str] = RecoveryCodes.activate(user).get_unused_codes()
    _changed(request, user, "factor.recovery_codes")
    return codes


def remove_of(user: User) -> bool:
    """Take the second factor from somebody who lost it; every session of theirs ends. False: none."""
    removed, _rows = Authenticator.objects.filter(user=user).delete()
    if removed:
        identity.end_other_sessions(user)
    return bool(removed)


def recovery_codes_left(user: User) -> int:
    found = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    return len(found.wrap().get_unused_codes()) if found else 0


def _changed(request: HttpRequest, user: User, action: str) -> None:
    """Every other session ends (SX-24), and each account of the person hears of it."""
    identity.end_other_sessions(user, keep=request)
    identity.tell_accounts(user, action, request=request)
