"""`/bulk_actions`: the same for many conversations, for all of them or for none."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from conversations import services
from conversations.models import Conversation
from integrations.chatwoot.compat import params, status
from integrations.chatwoot.compat.assignments import to_person, to_team
from integrations.chatwoot.compat.base import CompatView, P, nothing

MOST = 100
MAX_LABELS = 20


class BulkActions(CompatView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_WRITE}

    def post(self, request: Request) -> Response:
        """One that is not there makes it 404 for all, and nothing is done."""
        params.choice(self.params, "type", ("Conversation",), "Conversation")
        numbers = set(params.numbers(self.params, "ids", count=MOST))
        found = list(self.conversations().filter(number__in=numbers).order_by("pk"))
        if len(found) != len(numbers):
            raise NotFound
        fields = params.mapping(self.params, "fields")
        for conversation in found:
            self._label(conversation)
            self._change(conversation, fields)
        return nothing()

    def _label(self, conversation: Conversation) -> None:
        labels = params.mapping(self.params, "labels")
        add, remove = (params.texts(labels, name, count=MAX_LABELS) for name in ("add", "remove"))
        services.add_labels(conversation, add, by=self.member)
        services.remove_labels(conversation, remove, by=self.member)

    def _change(self, conversation: Conversation, fields: dict[str, Any]) -> None:
        """To whom first: what is resolved is nobody's."""
        if "assignee_id" in fields:
            to_person(
                conversation, fields["assignee_id"], by=self.member, may_assign=self.may_assign
            )
        elif "team_id" in fields:
            to_team(conversation, fields["team_id"], by=self.member, may_assign=self.may_assign)
        if wanted := params.choice(fields, "status", status.STATUSES):
            until = params.moment(self.params, "snoozed_until")
            status.change(
                conversation, wanted, by=self.member, may_assign=self.may_assign, until=until
            )
