"""Lists of conversations: what is in them, how many are whose, searching and filtering."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.rest.filters import search_words
from conversations.desk import matches
from conversations.models.conversation import ConversationQuerySet
from integrations.chatwoot import filters, reading
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P
from integrations.chatwoot.compat.conversations import Beginning
from integrations.chatwoot.shapes.parts import Json

PAGE = 25
# `updated_within` knows no pages; nobody syncs more than this at once.
MOST = 1000


class ListView(CompatView):
    def shown(self, rows: ConversationQuerySet, *, most: int = PAGE) -> list[Json]:
        """One page of `rows`."""
        start = 0 if most > PAGE else (params.page(self.params) - 1) * PAGE
        page = reading.page_of(rows, self.member, most, skip=start)
        return reading.conversations_json(page, self.member)


class Conversations(Beginning, ListView):
    """`/conversations`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONVERSATIONS_READ,
        "post": P.CONVERSATIONS_WRITE,
    }
    bot_permissions: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_WRITE}
    piling = frozenset({"post"})

    def get(self, request: Request) -> Response:
        """25 a page; with `updated_within` everything at once."""
        rows = filters.narrowed(self.conversations(), self.params, self.member)
        found = filters.ordered(filters.whose(rows, self.params, self.member), self.params)
        most = MOST if self.params.get("updated_within") else PAGE
        payload = self.shown(found, most=most)
        meta = filters.counts(rows, self.params, self.member)
        return Response({"data": {"meta": meta, "payload": payload}})


class Meta(ListView):
    """`/conversations/meta`: the numbers alone."""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.CONVERSATIONS_READ}

    def get(self, request: Request) -> Response:
        rows = filters.narrowed(self.conversations(), self.params, self.member)
        return Response({"meta": filters.counts(rows, self.params, self.member)})


class Search(ListView):
    """`/conversations/search`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.CONVERSATIONS_READ}

    def get(self, request: Request) -> Response:
        """In customers' names, numbers and addresses, and in the last words."""
        words = search_words(params.text(self.params, "q", most=1000))
        rows = self.conversations().filter(matches(words)) if words else self.conversations()
        meta: dict[str, Any] = filters.counted(rows, self.member)
        meta.pop("assigned_count")
        return Response({"meta": meta, "payload": self.shown(rows.recent_first())})


class Filter(ListView):
    """`/conversations/filter`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONVERSATIONS_READ}

    def post(self, request: Request) -> Response:
        rows = filters.filtered(self.conversations(), self.params)
        payload = self.shown(filters.ordered(rows, self.params))
        meta = filters.filtered_counts(rows, self.params, self.member)
        return Response({"meta": meta, "payload": payload})
