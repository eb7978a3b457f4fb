"""Saved replies, which are canned responses in their words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.rest.filters import search_words
from conversations import services
from conversations.models import SavedReply
from conversations.services.saved_replies import MAX_TEXT
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.shapes.parts import Json, iso

# Their placeholders that we call otherwise; one with a dot at its end goes on with a key.
PLACEHOLDERS = {
    "agent.name": "member.name",
    "agent.first_name": "member.first_name",
    "conversation.id": "conversation.number",
    "contact.custom_attribute.": "contact.attributes.",
    "conversation.custom_attribute.": "conversation.attributes.",
}
OURS = {ours: theirs for theirs, ours in PLACEHOLDERS.items()}
_MARK = re.compile(r"(\{\{\s*)((?:\w+\.)+)(\w*)")


def renamed(text: str, names: Mapping[str, str]) -> str:
    """`text` with placeholders under other names."""

    def one(found: re.Match[str]) -> str:
        opening, head, last = found.groups()
        return opening + names.get(head + last, names.get(head, head) + last)

    return _MARK.sub(one, text)


class CannedView(CompatView):
    field_names: ClassVar[dict[str, str]] = {"code": "short_code", "text": "content"}

    def replies(self) -> QuerySet[SavedReply]:
        """Everybody's and those of the caller's teams; who writes them sees all."""
        rows: QuerySet[SavedReply] = SavedReply.objects.usable_by(self.member)
        return rows

    def reply(self, pk: str) -> SavedReply:
        reply: SavedReply = self.find(self.replies(), pk=int(pk))
        return reply

    def given(self) -> dict[str, Any]:
        """What the request says, bare or inside `canned_response`, under our names."""
        given = params.inside(self.params, "canned_response")
        said: dict[str, Any] = {}
        if given.get("short_code") is not None:
            said["code"] = params.text(given, "short_code")
        if given.get("content") is not None:
            text = params.text(given, "content", most=2 * MAX_TEXT)
            said["text"] = renamed(text, PLACEHOLDERS)
        return said


class CannedResponses(CannedView):
    """`/canned_responses`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONFIG_READ,
        "post": P.CONFIG_WRITE,
    }

    def get(self, request: Request) -> Response:
        """With `search` those that have it, first the ones whose code begins with it."""
        words = search_words(params.text(self.params, "search"))
        rows: Any = self.replies()
        found = rows.matching(words).best_first(words) if words else rows.order_by("code")
        return Response([canned_json(reply) for reply in found])

    def post(self, request: Request) -> Response:
        given = {"code": "", "text": "", **self.given()}
        return Response(canned_json(services.create_saved_reply(by=self.member, **given)))


class OneCannedResponse(CannedView):
    """`/canned_responses/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "patch": P.CONFIG_WRITE,
        "put": P.CONFIG_WRITE,
        "delete": P.CONFIG_WRITE,
    }

    def patch(self, request: Request, reply_id: str) -> Response:
        reply = services.update_saved_reply(self.reply(reply_id), by=self.member, **self.given())
        return Response(canned_json(reply))

    put = patch

    def delete(self, request: Request, reply_id: str) -> Response:
        services.delete_saved_reply(self.reply(reply_id), by=self.member)
        return nothing()


def canned_json(reply: SavedReply) -> Json:
    return {
        "id": reply.pk,
        "account_id": reply.account_id,
        "short_code": reply.code,
        "content": renamed(reply.text, OURS),
        "created_at": iso(reply.created_at),
        "updated_at": iso(reply.updated_at),
    }
