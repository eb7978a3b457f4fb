"""The acts on subscribers: making, changing, switching and deleting the webhooks of integrators.

A subscriber is an `Endpoint` of kind SUBSCRIBER. Every act runs in the account's context and is audited.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts import limits
from accounts.audit import audit
from accounts.ids import sortable
from accounts.limits import Limit
from accounts.models import Account, Member
from accounts.tenancy import current_account_id
from agents import dialects
from conversations.errors import DeskError, FieldError, WrongStateError
from conversations.models import Delivery, Endpoint, Lane
from conversations.services import endpoints, outbox
from conversations.services.endpoints import GRACE, told
from integrations.payload import account_json, encode, time_text
from integrations.subscribers import forgetting
from integrations.subscribers.catalogue import CHOOSABLE, NATIVE, TEST, in_order
from integrations.subscribers.telling import wire_id

TIMEOUT = range(5, 31)
# Each one multiplies what every event costs.
AT_MOST = 50
# The test must not serve to try doors (bad input 48).
TESTS = Limit("webhook-test", capacity=10, per_second=10 / 60)
TEST_LANE = "test"
CHANGEABLE = ("name", "url", "event_types", "strict_order", "timeout_s")


class TooManyTestsError(DeskError):
    """More tests than ten a minute; `wait` says how many seconds to wait."""

    code = "throttled"
    status = 429

    def __init__(self, wait: int) -> None:
        super().__init__(_("At most ten tests a minute. Wait a little."))
        self.wait = wait


class NewSubscriber(NamedTuple):
    """A subscriber with what is shown once."""

    endpoint: Endpoint
    secret: str


def subscribers() -> QuerySet[Endpoint]:
    """The account's webhooks."""
    return Endpoint.objects.filter(kind=Endpoint.Kind.SUBSCRIBER)


# --- Making and changing -------------------------------------------------------------------------


@transaction.atomic
def create_subscriber(
    *,
    name: str,
    url: str,
    event_types: Iterable[str] = (),
    strict_order: bool = False,
    timeout_s: int = 15,
    dialect: str = NATIVE,
    by: Member | None = None,
) -> NewSubscriber:
    """Make a webhook with its signing secret. Event types may be families
    (`message.*`); none, or `*`: it gets all. In another dialect they are that one's
    subscriptions, and none is none. Raises `FieldError`."""
    types = list(event_types)
    _check(name=name, url=url, timeout_s=timeout_s)
    _check_event_types(types, dialect)
    # Two at once are counted one after the other.
    Account.objects.select_for_update(no_key=True).get(pk=current_account_id())
    if subscribers().count() >= AT_MOST:
        raise FieldError("name", _("An account has at most %(n)d webhooks.") % {"n": AT_MOST})
    endpoint = Endpoint.objects.create(
        kind=Endpoint.Kind.SUBSCRIBER,
        dialect=dialect,
        name=name.strip(),
        url=url.strip(),
        event_types=_in_order(types, dialect),
        strict_order=strict_order,
        timeout_s=timeout_s,
    )
    secret = endpoints.add_secret(endpoint)
    changes = {"url": told(endpoint.url), "event_types": endpoint.event_types}
    audit("webhook.created", by=by, target=endpoint, changes=changes)
    return NewSubscriber(endpoint, secret)


@transaction.atomic
def change_subscriber(endpoint: Endpoint, *, by: Member | None, **changes: Any) -> Endpoint:
    """Change name, url, event_types, strict_order or timeout_s. Raises `FieldError`.

    What waits is sent to the new address.
    """
    endpoint = _locked(endpoint)
    _check(**{key: value for key, value in changes.items() if key in _CHECKS})
    if "event_types" in changes:
        _check_event_types(changes["event_types"], endpoint.dialect)
    noted: dict[str, Any] = {}
    for key, value in changes.items():
        if key not in CHANGEABLE:
            raise TypeError(f"a subscriber has no {key} to change")
        new = _in_order(value, endpoint.dialect) if key == "event_types" else value
        new = new.strip() if isinstance(new, str) else new
        old = getattr(endpoint, key)
        if old != new:
            noted[key] = {"from": _as_told(old), "to": _as_told(new)}
            setattr(endpoint, key, new)
    if noted:
        endpoint.save(update_fields=list(noted))
        audit("webhook.updated", by=by, target=endpoint, changes=noted)
    return endpoint


# --- Secrets -------------------------------------------------------------------------------------


@transaction.atomic
def rotate_secret(endpoint: Endpoint, *, by: Member | None, grace: timedelta = GRACE) -> str:
    """A new signing secret, shown once; the old ones sign beside it for `grace` (DL-73).

    Raises `FieldError`.
    """
    endpoint = _locked(endpoint)
    secret = endpoints.rotate_secret(endpoint, grace=grace)
    hours = int(grace.total_seconds() // 3600)
    audit(
        "webhook.secret_rotated",
        by=by,
        target=endpoint,
        changes={"secret": "changed", "grace_hours": hours},
    )
    return secret


@transaction.atomic
def show_secret(endpoint: Endpoint, *, by: Member) -> str:
    """The secret that signs first, once more (DL-72); who asked for it is written down."""
    audit("webhook.secret_shown", by=by, target=endpoint)
    newest = endpoint.secrets.first()
    return newest.value if newest is not None else ""


# --- Switching and deleting ----------------------------------------------------------------------


@transaction.atomic
def switch_off(endpoint: Endpoint, *, by: Member | None, reason: str = "") -> Endpoint:
    """Call it no more; what waits is canceled and can be sent again by hand.

    `by` is None when its own answers switched it off; then `reason` says which.
    """
    endpoint = _held(endpoint)
    if endpoints.switch_off(endpoint, detail=reason):
        audit("webhook.disabled", by=by, target=endpoint, reason=reason)
        if by is None:
            endpoints.tell_owners(endpoint, endpoints.OFF, path=page_of_webhook(endpoint))
    return endpoint


def page_of_webhook(endpoint: Endpoint) -> str:
    return reverse("webhook", args=[endpoint.public_id])


@transaction.atomic
def switch_on(endpoint: Endpoint, *, by: Member | None) -> Endpoint:
    """Call it again. Nothing old is sent by itself (DL-68)."""
    endpoint = _locked(endpoint)
    if endpoint.state != Endpoint.State.ENABLED:
        endpoints.switch_on(endpoint)
        audit("webhook.enabled", by=by, target=endpoint)
    return endpoint


@transaction.atomic
def delete_subscriber(endpoint: Endpoint, *, by: Member | None) -> None:
    """Delete it with its secrets; what waits is canceled. Its log stays, and forgets it (`forgetting`).

    One that is made again with the same address is another one and gets nothing old (F-33).
    """
    endpoint = _held(endpoint)
    canceled = endpoints.cancel_queue(endpoint.pk, reason=gettext_noop("the webhook was deleted"))
    changes = {"url": told(endpoint.url), "canceled": canceled}
    audit("webhook.deleted", by=by, target=endpoint, changes=changes)
    endpoint.secrets.all().delete()
    endpoint.state, endpoint.deleted_at = Endpoint.State.DISABLED, timezone.now()
    endpoint.forgive()  # what is under way comes back, and does not wait for a probe to be canceled
    endpoint.save()
    forgetting.begin(endpoint)


# --- Testing -------------------------------------------------------------------------------------


@transaction.atomic
def send_test(endpoint: Endpoint, *, by: Member) -> Delivery:
    """Send `webhook.test`, once; what comes back stands in the delivery's attempt.

    Raises `WrongStateError` when it is switched off, and `TooManyTestsError`.
    """
    endpoint = _locked(endpoint)
    if endpoint.state != Endpoint.State.ENABLED:
        raise WrongStateError(_("The webhook is switched off. Switch it on first."))
    account_id = current_account_id()
    taken = limits.take(TESTS, str(account_id))
    if not taken.allowed:
        raise TooManyTestsError(taken.wait)
    place = outbox.take_place(
        account_id=account_id,
        kind=Lane.Kind.SUBSCRIBER,
        destination_id=endpoint.pk,
        key=TEST_LANE,
    )
    event_id = sortable("evt")
    body = {
        "id": event_id,
        "type": TEST,
        "occurred_at": time_text(timezone.now()),
        "account": account_json(Account.objects.get(pk=account_id)),
        "conversation": None,
        "message": None,
        "data": {"actor": by.public_id},
        "sequence": place.sequence,
    }
    audit("webhook.tested", by=by, target=endpoint)
    return outbox.put(
        place,
        kind=Lane.Kind.SUBSCRIBER,
        schedule=Delivery.Schedule.ONCE,
        wire_id=wire_id(event_id, endpoint.pk),
        event_id=event_id,
        event_type=TEST,
        endpoint=endpoint,
        body=encode(body),
    )


# --- Small parts ---------------------------------------------------------------------------------


def _locked(endpoint: Endpoint) -> Endpoint:
    """The row as it is now, locked against other changes; events go on being told."""
    return subscribers().select_for_update(no_key=True).get(pk=endpoint.pk)


def _held(endpoint: Endpoint) -> Endpoint:
    """The same, and nothing new is put on its queue meanwhile (telling._SUBSCRIBED)."""
    return subscribers().select_for_update().get(pk=endpoint.pk)


def _as_told(value: Any) -> Any:
    return told(value) if isinstance(value, str) else value


def _check_name(name: str) -> str:
    """Bad input 51: a name with a line break could split a header or a letter."""
    if not name.strip().isprintable():
        return _("A name has no line breaks and no control signs.")
    return endpoints.check_name(name)


def _check_event_types(event_types: list[str], dialect: str) -> None:
    known = CHOOSABLE if dialect == NATIVE else _subscriptions(dialect)
    unknown = next((name for name in event_types if name not in known), None)
    if unknown is not None:
        raise FieldError("event_types", _("There is no event “%(name)s”.") % {"name": unknown[:40]})


def _subscriptions(slug: str) -> frozenset[str]:
    """What a dialect tells webhooks; nothing when it is not installed any more."""
    spoken = next((one for one in dialects.all_dialects() if one.slug == slug), None)
    return spoken.subscriptions if spoken is not None else frozenset()


def _in_order(event_types: list[str], dialect: str) -> list[str]:
    return in_order(event_types) if dialect == NATIVE else list(dict.fromkeys(event_types))


_CHECKS: dict[str, endpoints.Check] = {
    "name": _check_name,
    "url": endpoints.check_url,
    "timeout_s": endpoints.check_seconds(TIMEOUT),
}


def _check(**values: Any) -> None:
    for field, value in values.items():
        if sentence := _CHECKS[field](value):
            raise FieldError(field, sentence)
