"""The secret addresses of inboxes: where a platform delivers, and how an address is changed.

A route's row holds the hash; the clear token stands sealed in the inbox's credentials, so that the
dashboard can show the address again. After a rotation the old address works for a week.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.tenancy import account_context
from conversations.models import Inbox, InboxRoute

CREDENTIAL = "route_token"
OLD_ROUTE_LIFE = timedelta(days=7)


def create_route(inbox: Inbox) -> str:
    """Give `inbox` a new address, in its account's context; returns the clear token."""
    token = InboxRoute.new_token()
    inbox.credentials = {**inbox.credentials, CREDENTIAL: token}
    with transaction.atomic():
        inbox.save(update_fields=["credentials_sealed"])
        InboxRoute.objects.create(
            account_id=inbox.account_id,
            inbox_id=inbox.pk,
            platform=inbox.platform,
            token_sha256=InboxRoute.digest(token),
        )
    return token


def rotate(inbox: Inbox) -> str:
    """A new address; those before it stop working in a week. Returns the clear token."""
    with transaction.atomic():
        InboxRoute.objects.filter(inbox_id=inbox.pk, expires_at__isnull=True).update(
            expires_at=timezone.now() + OLD_ROUTE_LIFE
        )
        return create_route(inbox)


def route_token(inbox: Inbox) -> str:
    """The clear token of the present address; empty when the inbox has none."""
    return inbox.credentials.get(CREDENTIAL, "")


def hook_url(inbox: Inbox) -> str:
    """The absolute address that the platform delivers to; empty without a route."""
    token, door = route_token(inbox), inbox.channel.door or f"/hooks/{inbox.platform}"
    return f"{settings.PUBLIC_URL}{door}/{token}" if token else ""


def inbox_at(platform: str, token: str) -> Inbox | None:
    """The inbox behind a living token, with its account; None also while it is switched off."""
    route = find_route(platform, token)
    if route is None:
        return None
    with account_context(route.account):
        inbox: Inbox | None = Inbox.objects.filter(pk=route.inbox_id).first()
    if inbox is None or inbox.state == Inbox.State.DISABLED:
        return None
    inbox.account = route.account
    return inbox


def find_route(platform: str, token: str) -> InboxRoute | None:
    """The living route behind a token, before the account is known."""
    return (
        InboxRoute.objects.select_related("account")
        .filter(platform=platform, token_sha256=InboxRoute.digest(token))
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()))
        .first()
    )
