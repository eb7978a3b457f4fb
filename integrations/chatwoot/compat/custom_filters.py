"""Filters that a member keeps for their own client; whoever applies one sends its rows to `/filter`."""

from __future__ import annotations

import json
from typing import ClassVar

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Member
from accounts.permissions import Permission
from integrations.chatwoot import contacts, filters
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P
from integrations.chatwoot.errors import invalid
from integrations.chatwoot.models import CustomFilter
from integrations.chatwoot.shapes.parts import Json, iso

# Theirs in all; it ends what one member can fill our tables with.
MAX_FILTERS = 1000
MAX_NAME = 250
MAX_QUERY = 20_000
TESTS = {
    CustomFilter.Of.CONVERSATION: filters.condition,
    CustomFilter.Of.CONTACT: contacts.condition,
}


class FilterView(CompatView):
    def filters(self) -> QuerySet[CustomFilter]:
        """The caller's own; nobody else's are seen."""
        return CustomFilter.objects.filter(member=self.member).order_by("pk")

    def filter(self, pk: str) -> CustomFilter:
        found: CustomFilter = self.find(self.filters(), pk=int(pk))
        return found

    @property
    def asked(self) -> params.Params:
        """The request, bare or inside `custom_filter`."""
        return params.inside(self.params, "custom_filter")

    def change(self, kept: CustomFilter) -> CustomFilter:
        """What the request says of it. Raises 422."""
        asked = self.asked
        kept.name = params.text(asked, "name", kept.name, most=MAX_NAME).strip()
        kept.of = params.choice(asked, "filter_type", CustomFilter.Of.values, kept.of)
        if "query" in asked:
            kept.query = params.mapping(asked, "query")
        if not kept.name:
            raise invalid("name", "Name can't be blank")
        if len(json.dumps(kept.query)) > MAX_QUERY:
            raise invalid("query", "Query is too large")
        filters.read_rows(kept.query, TESTS[CustomFilter.Of(kept.of)])
        kept.save()
        return kept


class CustomFilters(FilterView):
    """`/custom_filters`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONVERSATIONS_READ,
        "post": P.CONVERSATIONS_WRITE,
    }

    def get(self, request: Request) -> Response:
        """Those of `filter_type`, else of conversations."""
        of = params.choice(self.params, "filter_type", CustomFilter.Of.values, "conversation")
        return Response([filter_json(one) for one in self.filters().filter(of=of)])

    def post(self, request: Request) -> Response:
        # Two at once are counted one after the other.
        Member.objects.select_for_update(no_key=True).get(pk=self.member.pk)
        if self.filters().count() >= MAX_FILTERS:
            raise invalid(
                "base",
                "Limit reached. The maximum number of allowed custom filters for a user per account "
                f"is {MAX_FILTERS}.",
            )
        new = CustomFilter(member=self.member, of=CustomFilter.Of.CONVERSATION)
        return Response(filter_json(self.change(new)))


class OneCustomFilter(FilterView):
    """`/custom_filters/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONVERSATIONS_READ,
        "patch": P.CONVERSATIONS_WRITE,
        "put": P.CONVERSATIONS_WRITE,
        "delete": P.CONVERSATIONS_WRITE,
    }

    def get(self, request: Request, filter_id: str) -> Response:
        return Response(filter_json(self.filter(filter_id)))

    def patch(self, request: Request, filter_id: str) -> Response:
        return Response(filter_json(self.change(self.filter(filter_id))))

    put = patch

    def delete(self, request: Request, filter_id: str) -> Response:
        self.filter(filter_id).delete()
        return Response(status=204)


def filter_json(kept: CustomFilter) -> Json:
    return {
        "id": kept.pk,
        "name": kept.name,
        "filter_type": kept.of,
        "query": kept.query,
        "created_at": iso(kept.created_at),
        "updated_at": iso(kept.updated_at),
    }
