"""What the endpoints of agents and of subscribers have in common: addresses and signing secrets."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.tasks import send_owners_letter
from conversations.errors import FieldError
from conversations.models import Delivery, Endpoint, EndpointSecret
from conversations.services import outbox

SECRETS_AT_MOST = 3
GRACE = timedelta(hours=24)
LONGEST_GRACE = timedelta(days=7)

# The letters of `tell_owners`.
FAILING, OFF = "endpoint_failing", "endpoint_off"

# Why one is switched off that says so itself. Such reasons are kept as the API shows them; what shows them
# to people translates them.
GONE = gettext_noop("its endpoint answered 410 Gone")

# Says in a sentence what is wrong with a value; empty when nothing is.
Check = Callable[[Any], str]


# --- Secrets -------------------------------------------------------------------------------------


def new_secret() -> str:
    """In Standard Webhooks' form: `whsec_` and 32 random bytes (DL-72)."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def add_secret(endpoint: Endpoint, clear: str = "") -> str:
    """A signing secret: a new one, unless it is given. Of a hidden endpoint's nothing is told."""
    clear = clear or new_secret()
    secret = EndpointSecret(endpoint=endpoint)
    secret.value = clear
    if endpoint.hidden:
        secret.hint = ""
    secret.save()
    return clear


def rotate_secret(endpoint: Endpoint, *, grace: timedelta = GRACE) -> str:
    """A new secret of an endpoint whose owner is locked; the old ones sign beside it for `grace`.

    A grace of zero ends them at once. At most three secrets live (DL-73). Raises `FieldError`.
    """
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        raise FieldError("grace", _("The grace is between 0 hours and 7 days."))
    ends = timezone.now() + grace
    old = endpoint.secrets.all()
    old.filter(expires_at__isnull=True).update(expires_at=ends)
    old.filter(expires_at__gt=ends).update(expires_at=ends)
    old.filter(expires_at__lte=timezone.now()).delete()
    kept = old.order_by("-created_at", "-id").values_list("pk", flat=True)[: SECRETS_AT_MOST - 1]
    old.exclude(pk__in=list(kept)).delete()
    return add_secret(endpoint)


# --- Switching -----------------------------------------------------------------------------------


def switch_on(endpoint: Endpoint) -> None:
    """Call a disabled endpoint again. Nothing old is sent by itself (DL-68)."""
    endpoint.state = Endpoint.State.ENABLED
    endpoint.disabled_reason, endpoint.disabled_at = "", None
    endpoint.forgive()
    endpoint.save()


def switch_off(endpoint: Endpoint, *, detail: str) -> bool:
    """Call it no more; what waits is canceled and can be replayed later (DL-67). False when it is not
    on. Runs in the account's context.
    """
    on = Endpoint.objects.filter(pk=endpoint.pk, state=Endpoint.State.ENABLED)
    endpoint.state, endpoint.disabled_reason = Endpoint.State.DISABLED, detail[:250]
    endpoint.disabled_at = timezone.now()
    switched = on.update(
        state=endpoint.state,
        disabled_reason=endpoint.disabled_reason,
        disabled_at=endpoint.disabled_at,
    )
    if not switched:
        return False
    cancel_queue(endpoint.pk, reason=detail or gettext_noop("the address is switched off"))
    return True


def tell_owners(endpoint: Endpoint, letter: str, *, path: str) -> None:
    """A letter about an endpoint that fails (`FAILING`) or was switched off (`OFF`), to the owners of the
    account in context; `path` is the page about it."""
    error = endpoint.disabled_reason or endpoint.last_error
    values = {
        "who": name_of(endpoint),
        "url": told(endpoint.shown_url),
        "error": error,
        "path": path,
    }
    job = (endpoint.account_id, letter, values)
    # Not a failure of the act when no broker answers: the page says the same.
    transaction.on_commit(lambda: send_owners_letter.delay(*job), robust=True)


def name_of(endpoint: Endpoint) -> str:
    """What people call it: a subscriber's own name, or its agent's."""
    agent = getattr(endpoint, "agent", None)
    return endpoint.name or (agent.name if agent is not None else endpoint.shown_url)


def cancel_queue(endpoint_id: int, *, reason: str) -> int:
    """Cancel what still waits for an endpoint; what is under way ends by itself. Returns how many."""
    waiting = (Delivery.State.PENDING, Delivery.State.RETRY_WAIT)
    queue = Delivery.objects.filter(endpoint_id=endpoint_id, state__in=waiting)
    return outbox.cancel(queue, reason=reason)


# --- What may be kept ----------------------------------------------------------------------------


def check_name(name: str) -> str:
    fits = 1 <= len(name.strip()) <= 120
    return "" if fits else _("A name has 1 to 120 characters.")


def check_url(url: str) -> str:
    """The shape only; where it leads is asked at the doors and judged by the courier (DL-111)."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or len(url) > 2000:
        return _("Give a full address, such as https://agent.example.com/hook.")
    if parts.username or parts.password or parts.fragment:
        return _("The address may not contain a password or a “#”.")
    return ""


def check_seconds(allowed: range) -> Check:
    """A check for a number of seconds within `allowed`."""

    def check(value: int) -> str:
        return (
            ""
            if value in allowed
            else _("Choose between %(least)d and %(most)d seconds.")
            % {"least": allowed[0], "most": allowed[-1]}
        )

    return check


def told(value: Any) -> str:
    """As the audit log shows it; the query of an address may hold a key."""
    text = str(value or "")
    return text.partition("?")[0] if text.startswith(("http://", "https://")) else text
