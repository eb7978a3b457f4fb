"""Inboxes and labels, as far as their clients look at them."""

from __future__ import annotations

from typing import ClassVar

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from conversations.models import Inbox, Label
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.errors import invalid
from integrations.chatwoot.shapes import inbox_json, label_json

MAX_TITLE = 60


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
    def title(self) -> str:
        """Bare or inside `label`. Raises 422."""
        given = {**params.mapping(self.params, "label"), **self.params}
        title = params.text(given, "title").strip()
        if not title:
            raise invalid("title", "Title can't be blank")
        if len(title) > MAX_TITLE:
            raise invalid("title", f"Title is too long (maximum is {MAX_TITLE} characters)")
        return title

    def label(self, pk: str) -> Label:
        label: Label = self.find(Label.objects.all(), pk=int(pk))
        return label

    def save(self, label: Label) -> Response:
        try:
            with transaction.atomic():
                label.save()
        except IntegrityError as error:
            raise invalid("title", "Title has already been taken") from error
        return Response(label_json(label))


class AccountLabels(LabelView):
    """`/labels`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONFIG_READ,
        "post": P.CONFIG_WRITE,
    }

    def get(self, request: Request) -> Response:
        return Response({"payload": [label_json(one) for one in Label.objects.order_by("name")]})

    def post(self, request: Request) -> Response:
        return self.save(Label(name=self.title()))


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
        label = self.label(label_id)
        label.name = self.title()
        return self.save(label)

    put = patch

    def delete(self, request: Request, label_id: str) -> Response:
        self.label(label_id).delete()
        return nothing()
