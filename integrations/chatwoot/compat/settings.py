"""Inboxes as far as their clients look at them, and labels."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from conversations import services
from conversations.models import Inbox, Label
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.shapes.inboxes import inbox_json
from integrations.chatwoot.shapes.settings import label_json


class Inboxes(CompatView):
    """`/inboxes`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.INBOXES_READ}

    def get(self, request: Request) -> Response:
        return Response({"payload": [inbox_json(inbox) for inbox in _inboxes()]})


class OneInbox(CompatView):
    """`/inboxes/{id}`; for a bot, those of its conversations."""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.INBOXES_READ}
    bot_permissions: ClassVar[dict[str, Permission]] = {"get": P.CONVERSATIONS_READ}

    def get(self, request: Request, inbox_id: str) -> Response:
        inbox: Inbox = self.find(_inboxes(), pk=int(inbox_id))
        if self.member.is_agent and not (self.is_attached(inbox) or self._holds_in(inbox)):
            raise PermissionDenied
        return Response(inbox_json(inbox))

    def _holds_in(self, inbox: Inbox) -> bool:
        return self.conversations().filter(inbox=inbox).exists()


def _inboxes() -> QuerySet[Inbox]:
    return Inbox.objects.select_related("account").defer("credentials_sealed").order_by("pk")


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
