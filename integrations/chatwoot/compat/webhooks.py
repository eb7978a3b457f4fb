"""Account webhooks: subscribers of ours that are told in their words.

Those that our own API or the dashboard made speak otherwise, and are none of theirs.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from accounts.permissions import Permission
from agents import addresses
from conversations.models import Endpoint
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.dialect import TOLD, ChatwootDialect
from integrations.chatwoot.errors import invalid
from integrations.chatwoot.shapes.parts import Json
from integrations.subscribers import services

# Theirs answer at once and work afterwards.
TIMEOUT_S = ChatwootDialect.default_timeout_s
MAX_URL = 2000


class WebhookView(CompatView):
    field_names: ClassVar[dict[str, str]] = {"url": "url", "event_types": "subscriptions"}

    def before_transaction(self) -> None:
        """A name server takes its time, so an address is judged before the transaction opens."""
        if str(self.request.method).lower() not in ("post", "patch", "put"):
            return
        url = self.url
        if url and not url.startswith(("http://", "https://")):
            raise invalid("url", "Url is invalid")
        if url and (sentence := addresses.problem(url)):
            raise invalid("url", sentence)

    @property
    def asked(self) -> params.Params:
        """The request, bare or inside `webhook`."""
        return params.inside(self.params, "webhook")

    @property
    def url(self) -> str:
        return params.text(self.asked, "url", most=MAX_URL).strip()

    def webhooks(self) -> QuerySet[Endpoint]:
        return services.subscribers().filter(dialect=ChatwootDialect.slug).order_by("pk")

    def webhook(self, pk: str) -> Endpoint:
        webhook: Endpoint = self.find(self.webhooks(), pk=int(pk))
        return webhook

    def given(self) -> dict[str, Any]:
        """What the request says, under our names. Raises 422."""
        asked = self.asked
        if asked.get("inbox_id") not in (None, ""):
            raise invalid("inbox_id", "Webhooks are told of every inbox here")
        said: dict[str, Any] = {}
        if "url" in asked:
            said["url"] = self.url
        if asked.get("name") not in (None, ""):
            said["name"] = params.text(asked, "name")
        if "subscriptions" in asked:
            said["event_types"] = self._subscriptions()
        return said

    def _subscriptions(self) -> list[str]:
        given = self.asked["subscriptions"]
        if not isinstance(given, list) or not given:
            raise invalid("subscriptions", "Subscriptions Invalid events")
        for name in given:
            if not isinstance(name, str) or name not in ChatwootDialect.subscriptions:
                raise invalid("subscriptions", "Subscriptions Invalid events")
        return given

    def check_free(self, url: str, *, but: int = 0) -> None:
        """No two have one address. Raises 422."""
        # As in `create_subscriber`: two at once are judged one after the other.
        Account.objects.select_for_update(no_key=True).get(pk=self.account.pk)
        if self.webhooks().filter(url=url).exclude(pk=but).exists():
            raise invalid("url", "Url has already been taken")


class Webhooks(WebhookView):
    """`/webhooks`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.WEBHOOKS_READ,
        "post": P.WEBHOOKS_WRITE,
    }

    def get(self, request: Request) -> Response:
        return Response({"payload": {"webhooks": [webhook_json(one) for one in self.webhooks()]}})

    def post(self, request: Request) -> Response:
        """A new one, with its secret: that is shown this once."""
        given = {"url": "", "event_types": list(TOLD), **self.given()}
        self.check_free(given["url"])
        given.setdefault("name", Endpoint(url=given["url"]).place[:120])
        made = services.create_subscriber(
            dialect=ChatwootDialect.slug, timeout_s=TIMEOUT_S, by=self.member, **given
        )
        return _answer(made.endpoint, secret=made.secret)


class OneWebhook(WebhookView):
    """`/webhooks/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "patch": P.WEBHOOKS_WRITE,
        "put": P.WEBHOOKS_WRITE,
        "delete": P.WEBHOOKS_WRITE,
    }

    def patch(self, request: Request, webhook_id: str) -> Response:
        webhook, given = self.webhook(webhook_id), self.given()
        if "url" in given:
            self.check_free(given["url"], but=webhook.pk)
        return _answer(services.change_subscriber(webhook, by=self.member, **given))

    put = patch

    def delete(self, request: Request, webhook_id: str) -> Response:
        """What waits for it is canceled."""
        services.delete_subscriber(self.webhook(webhook_id), by=self.member)
        return nothing()


def _answer(webhook: Endpoint, **shown_once: str) -> Response:
    return Response({"payload": {"webhook": webhook_json(webhook, **shown_once)}})


def webhook_json(webhook: Endpoint, **shown_once: str) -> Json:
    """A webhook. `secret` is shown where it is made, and never again (SX-31)."""
    return {
        "id": webhook.pk,
        "name": webhook.name,
        "url": webhook.url,
        "account_id": webhook.account_id,
        "subscriptions": webhook.event_types,
        **shown_once,
    }
