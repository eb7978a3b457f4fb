"""Letters: of a sign-up, and to an account's owners about what does not mend itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import Member, User
from accounts.permissions import Role
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


def to_owners(account_id: int, name: str, values: Mapping[str, str]) -> int:
    """A letter named `endpoint_failing` or `endpoint_off` to each owner, in their language.

    Returns how many. `values` are those of its text.
    """
    owners = Member.objects.select_related("user", "account").filter(
        account_id=account_id, role=Role.OWNER, active=True, user__isnull=False
    )
    for owner in owners:
        if owner.user is None:
            continue
        with translation.override(owner.user.language):
            subject = {
                "endpoint_failing": _("Calls to %(who)s fail"),
                "endpoint_off": _("%(who)s was switched off"),
            }[name] % values
            link = settings.PUBLIC_URL + values["path"]
            _send(owner.user.email, subject, name, account=owner.account.name, link=link, **values)
    return len(owners)


def _send(to: str, subject: str, name: str, **context: Any) -> None:
    body = render_to_string(f"accounts/letters/{name}.txt", context)
    send_mail(" ".join(subject.split()), body, None, [to])
