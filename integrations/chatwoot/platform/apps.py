"""Platform apps: who makes bots over the platform API, by which token, and for which accounts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts import tokens
from accounts.models import Account
from integrations.chatwoot.models import PlatformApp

# What their tokens begin with: `sb_plt_…`. No other door takes one.
KIND = "plt"
SELDOM = timedelta(minutes=1)


@transaction.atomic
def give_token(name: str, accounts: Iterable[Account] = ()) -> tuple[PlatformApp, str]:
    """The app of this name, made where there is none, with a new token: the old one ends, and one that was
    switched off works again. It may act for these accounts beside those it could."""
    minted = tokens.mint(KIND)
    kept = {"key_id": minted.key_id, "sha256": minted.sha256, "active": True}
    app, _created = PlatformApp.objects.update_or_create(name=name, defaults=kept)
    app.accounts.add(*accounts)
    return app, minted.clear


def by_token(clear: str) -> PlatformApp | None:
    """The app whose token this is, unless it is switched off."""
    key_id = tokens.key_of(clear, KIND)
    if key_id is None:
        return None
    app = PlatformApp.objects.filter(key_id=key_id, active=True).first()
    if app is None or not tokens.proves(clear, app.sha256):
        return None
    _touch(app)
    return app


def _touch(app: PlatformApp) -> None:
    """Note the use, at most once a minute."""
    now = timezone.now()
    if app.last_used_at is None or now - app.last_used_at > SELDOM:
        PlatformApp.objects.filter(pk=app.pk).update(last_used_at=now)
