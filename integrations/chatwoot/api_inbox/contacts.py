"""`/public/api/v1/inboxes/{identifier}`: the inbox, and its customers."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from integrations.chatwoot.api_inbox import people
from integrations.chatwoot.api_inbox.shapes import contact_json, inbox_json
from integrations.chatwoot.api_inbox.view import NEWCOMERS, ClientView


class InboxView(ClientView):
    def get(self, request: Request) -> Response:
        return Response(inbox_json(self.inbox, self.kwargs["identifier"]))


class Contacts(ClientView):
    """`/contacts`"""

    limit = NEWCOMERS

    def post(self, request: Request) -> Response:
        """Somebody new, or whoever is known by this `source_id`."""
        return Response(contact_json(people.enter(self.inbox, self.params)))


class OneContact(ClientView):
    """`/contacts/{source_id}`"""

    def get(self, request: Request, source_id: str) -> Response:
        return Response(contact_json(self.address(source_id)))

    def patch(self, request: Request, source_id: str) -> Response:
        """What the app says of them; attributes are merged. A proven identity makes them who they are."""
        address = self.found(source_id)
        identifier = people.proven_identifier(self.inbox, self.params, needed=False)
        if identifier:
            address = people.identify(address, identifier)
        address = people.admit(address, self.params)
        return Response(contact_json(people.describe(address, self.params)))

    put = patch
