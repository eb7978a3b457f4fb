"""Inboxes as far as their clients look at them and make them, and labels."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from agents import addresses
from conversations import services
from conversations.models import Inbox, Label
from integrations import removing
from integrations.chatwoot.api_inbox import settings as api_inbox
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.errors import invalid, unprocessable
from integrations.chatwoot.shapes.inboxes import inbox_json
from integrations.chatwoot.shapes.settings import label_json
from integrations.services import change_inbox, connect_inbox

# As long as the form of the dashboard takes it.
MAX_NAME = 120
DELETING = "Your inbox deletion request will be processed in some time."


class InboxesView(CompatView):
    """A view that takes or shows inboxes."""

    def before_transaction(self) -> None:
        """A name server takes its time, so an address is judged before the transaction opens."""
        if str(self.request.method).lower() == "get":
            return
        url = api_inbox.given_webhook(self.channel)
        if url and (sentence := addresses.problem(url)):
            raise invalid("webhook_url", sentence)

    @property
    def channel(self) -> params.Params:
        """What the request says of the inbox's channel."""
        return params.mapping(self.params, "channel")

    def show(self, inbox: Inbox) -> dict[str, Any]:
        """For who may set it up, with the settings of an API inbox."""
        shown = inbox_json(inbox)
        if api_inbox.is_api(inbox) and self.may(P.INBOXES_WRITE):
            shown |= api_inbox.settings_json(inbox)
        return shown


class Inboxes(InboxesView):
    """`/inboxes`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.INBOXES_READ,
        "post": P.INBOXES_WRITE,
    }

    def get(self, request: Request) -> Response:
        return Response({"payload": [self.show(inbox) for inbox in _inboxes()]})

    def post(self, request: Request) -> Response:
        """An API inbox, with its secrets: they are shown this once."""
        kind = params.text(self.channel, "type")
        if kind != api_inbox.PLATFORM:
            raise unprocessable(_("Only API inboxes are made by this call."))
        name = params.text(self.params, "name", most=MAX_NAME).strip()
        if not name:
            raise invalid("name", "Name can't be blank")
        values = {**api_inbox.values_of(self.channel), **api_inbox.new_secrets()}
        made = connect_inbox(platform=api_inbox.PLATFORM, name=name, values=values, by=self.member)
        return Response({**self.show(made), **api_inbox.secrets_json(made)})


class OneInbox(InboxesView):
    """`/inboxes/{id}`; for a bot, those of its conversations."""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.INBOXES_READ,
        "patch": P.INBOXES_WRITE,
        "put": P.INBOXES_WRITE,
        "delete": P.INBOXES_WRITE,
    }
    bot_permissions: ClassVar[dict[str, Permission]] = {"get": P.CONVERSATIONS_READ}

    def get(self, request: Request, inbox_id: str) -> Response:
        inbox: Inbox = self.find(_inboxes(), pk=int(inbox_id))
        if self.member.is_agent and not (self.is_attached(inbox) or self._holds_in(inbox)):
            raise PermissionDenied
        return Response(self.show(inbox))

    def patch(self, request: Request, inbox_id: str) -> Response:
        """Its name, and of an API inbox where it pushes to and whom it lets in."""
        rows = Inbox.objects.present().select_related("account")
        inbox: Inbox = self.find(rows, pk=int(inbox_id))
        values = api_inbox.values_of(self.channel)
        if values and not api_inbox.is_api(inbox):
            raise unprocessable(_("Only the channel of an API inbox is changed by this call."))
        name = params.text(self.params, "name", most=MAX_NAME).strip() or inbox.name
        team = inbox.fallback_team
        change_inbox(inbox, by=self.member, name=name, fallback_team=team, values=values)
        return Response(self.show(inbox))

    put = patch

    def delete(self, request: Request, inbox_id: str) -> Response:
        """It is gone at once; what is open in it is resolved afterwards, and nothing of it is erased."""
        removing.remove_inbox(self.find(_inboxes(), pk=int(inbox_id)), by=self.member)
        return Response({"message": DELETING})

    def _holds_in(self, inbox: Inbox) -> bool:
        return self.conversations().filter(inbox=inbox).exists()


def _inboxes() -> QuerySet[Inbox]:
    rows: QuerySet[Inbox] = Inbox.objects.present().select_related("account")
    return rows.defer("credentials_sealed").order_by("pk")


class LabelView(CompatView):
    field_names: ClassVar[dict[str, str]] = {"name": "title", "colour": "color"}

    def given(self) -> dict[str, Any]:
        """What the request says, bare or inside `label`, under our names."""
        given = params.inside(self.params, "label")
        said: dict[str, Any] = {}
        for ours, theirs in (*self.field_names.items(), ("description", "description")):
            if given.get(theirs) is not None:
                said[ours] = params.text(given, theirs)
        if given.get("show_on_sidebar") is not None:
            said["in_filters"] = params.flag(given, "show_on_sidebar")
        return said

    def label(self, pk: str) -> Label:
        label: Label = self.find(Label.objects.all(), pk=int(pk))
        return label


class AccountLabels(LabelView):
    """`/labels`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONFIG_READ,
        "post": P.CONFIG_WRITE,
    }

    def get(self, request: Request) -> Response:
        return Response({"payload": [label_json(one) for one in Label.objects.order_by("name")]})

    def post(self, request: Request) -> Response:
        return Response(label_json(services.create_label(by=self.member, **self.given())))


class OneLabel(LabelView):
    """`/labels/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONFIG_READ,
        "patch": P.CONFIG_WRITE,
        "put": P.CONFIG_WRITE,
        "delete": P.CONFIG_WRITE,
    }

    def get(self, request: Request, label_id: str) -> Response:
        return Response(label_json(self.label(label_id)))

    def patch(self, request: Request, label_id: str) -> Response:
        label = services.update_label(self.label(label_id), by=self.member, **self.given())
        return Response(label_json(label))

    put = patch

    def delete(self, request: Request, label_id: str) -> Response:
        services.delete_label(self.label(label_id), by=self.member)
        return nothing()
