"""The letters of a sign-up."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.signing_up import code_of


def sign_up(email: str, nonce: str, language: str) -> None:
    """The code for a new e-mail, or a word to somebody who has a login already (SX-46)."""
    with translation.override(language):
        if User.objects.filter(email=email).exists():
            links = {
                "log_in": settings.PUBLIC_URL + reverse("login"),
                "reset": settings.PUBLIC_URL + reverse("password_reset"),
            }
            _send(email, _("You have a login already"), "already_known", **links)
        else:
            code = code_of(nonce)
            subject = _("%(code)s is your code") % {"code": code}
            _send(email, subject, "sign_up", code=code)


def _send(to: str, subject: str, name: str, **context: Any) -> None:
    body = render_to_string(f"accounts/letters/{name}.txt", context)
    send_mail(" ".join(subject.split()), body, None, [to])
