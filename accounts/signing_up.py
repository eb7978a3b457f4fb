"""A sign-up between its form and its proof: what was asked for, kept in the session.

The answer to the form is the same whether the e-mail is known or not (SX-46): a letter goes out
either way, with a code for a new one. The code is made from a nonce of the session and our secret
key, so that neither the session nor the job's queue holds it.
"""

from __future__ import annotations

import secrets
import time

from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _

from accounts import limits, services
from accounts.errors import AccountsError
from accounts.limits import Limit
from accounts.models import Member, User
from accounts.tasks import send_sign_up_letter

SLOT = "sign_up"
LIFE = 3600
LETTERS = Limit("sign-up-letters", capacity=3, per_second=3 / 3600)
PER_NETWORK = Limit("sign-up-network", capacity=20, per_second=20 / 3600)
TRIES = Limit("sign-up-code", capacity=5, per_second=0)


class SignUpError(AccountsError):
    """The code is wrong, or the sign-up took too long."""

    code = "sign_up"


def code_of(nonce: str) -> str:
    """The six digits of a sign-up."""
    digest = salted_hmac("accounts.sign_up", nonce, algorithm="sha256").hexdigest()
    return f"{int(digest, 16) % 1_000_000:06}"


def begin(session: SessionBase, values: dict[str, str], *, network: str, language: str) -> None:
    """Keep what was asked for and send the letter. Raises `SignUpError` when asked too often."""
    email = values["email"].strip().lower()
    if not limits.take_all([(PER_NETWORK, network), (LETTERS, email)]).allowed:
        raise SignUpError(_("Too many attempts. Try again in an hour."))
    nonce = secrets.token_urlsafe(24)
    session[SLOT] = {
        "account_name": values["account_name"],
        "name": values["name"],
        "email": email,
        "password_hash": make_password(values["password"]),
        "language": language,
        "nonce": nonce,
        "at": int(time.time()),
    }
    send_sign_up_letter.delay(email, nonce, language)


def waiting(session: SessionBase) -> str:
    """The e-mail that a code was sent to; empty when no sign-up is under way."""
    pending = session.get(SLOT)
    if pending is None or time.time() - pending["at"] > LIFE:
        return ""
    return str(pending["email"])


def finish(session: SessionBase, code: str) -> Member:
    """The account, once the code is right. Raises `AccountsError`."""
    pending = session.get(SLOT, {})
    if not waiting(session) or not limits.take(TRIES, pending["nonce"]).allowed:
        session.pop(SLOT, None)
        raise SignUpError(_("This sign-up took too long or too many tries. Start again."))
    known = User.objects.filter(email=pending["email"]).exists()
    right = constant_time_compare(code.replace(" ", ""), code_of(pending["nonce"]))
    if known or not right:
        raise SignUpError(_("This code is not the one in our latest letter."))
    with transaction.atomic():
        user = User.objects.create(
            **{name: pending[name] for name in ("email", "name", "language")},
            password=pending["password_hash"],
        )
        member = services.create_account(
            pending["account_name"], owner=user, locale=pending["language"]
        )
    session.pop(SLOT, None)
    return member
