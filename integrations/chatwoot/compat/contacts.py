"""Customers: finding, making, changing and forgetting them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.paging import first_of
from accounts.permissions import Permission
from conversations import services
from conversations.models import Address, Contact, Conversation, Inbox
from integrations.chatwoot import contacts, filters, reading, starting
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.errors import missing, unprocessable
from integrations.chatwoot.shapes.contacts import contact_inbox, contact_json
from integrations.chatwoot.shapes.inboxes import slim_inbox
from integrations.chatwoot.shapes.parts import Json

PAGE = 15
MAX_LABELS = 50


class ContactView(CompatView):
    def contact(self, pk: str, *, itself: bool = False) -> Contact:
        """The contact of the path. The id of one who was merged leads to the one they are now, but where
        only this one `itself` is meant. Raises `NotFound`."""
        wanted = int(pk) if itself else contacts.present_id(int(pk))
        contact: Contact = self.find(contacts.whole(self.contacts()), pk=wanted)
        return contact

    def show(self, pk: str) -> Response:
        return Response({"payload": contact_json(self.contact(pk), with_inboxes=True)})

    def page(self, rows: QuerySet[Contact]) -> tuple[list[Json], dict[str, Any], bool]:
        """15 contacts, `meta`, and whether there are more behind them."""
        number = params.page(self.params)
        start = (number - 1) * PAGE
        rows = contacts.ordered(contacts.whole(rows), self.params)
        found = list(first_of(rows, PAGE + 1, skip=start))
        with_inboxes = params.flag(self.params, "include_contact_inboxes", default=True)
        shown = [contact_json(one, with_inboxes=with_inboxes) for one in found[:PAGE]]
        meta = {"count": rows.count(), "current_page": number}
        return shown, meta, len(found) > PAGE


class Contacts(ContactView):
    """`/contacts`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONTACTS_READ,
        "post": P.CONTACTS_WRITE,
    }

    def get(self, request: Request) -> Response:
        names = params.texts(self.params, "labels")
        payload, meta, _more = self.page(contacts.labelled(self.contacts(), names))
        return Response({"meta": meta, "payload": payload})

    def post(self, request: Request) -> Response:
        """With `inbox_id` also how that inbox reaches them."""
        contact = contacts.create(self.params, by=self.member)
        address = self._address(contact)
        whole = contacts.whole(Contact.objects.filter(pk=contact.pk)).get()
        shown: Json = {"contact": contact_json(whole, with_inboxes=True)}
        shown["contact_inbox"] = contact_inbox(address) if address is not None else {}
        return Response({"payload": shown})

    def _address(self, contact: Contact) -> Address | None:
        inbox_id = params.number(self.params, "inbox_id")
        if inbox_id is None:
            return None
        inbox: Inbox = self.find(Inbox.objects.present(), pk=inbox_id)
        return starting.address_for(inbox, contact, params.text(self.params, "source_id"))


class ContactSearch(ContactView):
    """`/contacts/search`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.CONTACTS_READ}

    def get(self, request: Request) -> Response:
        words = params.text(self.params, "q", most=1000).strip()
        if not words:
            raise unprocessable("Specify search string with parameter q")
        payload, meta, more = self.page(contacts.matching(self.contacts(), words))
        return Response({"meta": {**meta, "has_more": more}, "payload": payload})


class ContactFilter(ContactView):
    """`/contacts/filter`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONTACTS_READ}

    def post(self, request: Request) -> Response:
        test = filters.read_rows(self.params, contacts.condition)
        payload, meta, _more = self.page(contacts.with_activity(self.contacts()).filter(test))
        return Response({"meta": meta, "payload": payload})


class OneContact(ContactView):
    """`/contacts/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONTACTS_READ,
        "put": P.CONTACTS_WRITE,
        "patch": P.CONTACTS_WRITE,
        "delete": P.CONTACTS_ERASE,
    }
    bot_permissions: ClassVar[dict[str, Permission]] = {
        "get": P.CONTACTS_READ,
        "put": P.CONTACTS_WRITE,
        "patch": P.CONTACTS_WRITE,
    }

    def get(self, request: Request, contact_id: str) -> Response:
        return self.show(contact_id)

    def put(self, request: Request, contact_id: str) -> Response:
        """What is named; attributes are merged."""
        contact = self.contact(contact_id)
        if self.member.is_agent:
            self._check_holds(contact)
        contacts.update(contact, self.params, by=self.member)
        return self.show(contact_id)

    patch = put

    def delete(self, request: Request, contact_id: str) -> Response:
        """Erased for good, with what was said; never somebody else than whom the address names."""
        services.erase_contact(self.contact(contact_id, itself=True), by=self.member)
        return nothing()

    def _check_holds(self, contact: Contact) -> None:
        """A bot writes about those whom it talks with, and blocks nobody."""
        held = Conversation.objects.filter(contact=contact, assignee=self.member)
        if "blocked" in self.params or not held.exists():
            raise PermissionDenied


class DestroyAttributes(ContactView):
    """`/contacts/{id}/destroy_custom_attributes`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONTACTS_WRITE}

    def post(self, request: Request, contact_id: str) -> Response:
        names = params.texts(self.params, "custom_attributes")
        contact = self.contact(contact_id)
        services.update_contact(contact, by=self.member, attributes=dict.fromkeys(names))
        return self.show(contact_id)


class ContactLabels(ContactView):
    """`/contacts/{id}/labels`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONTACTS_READ,
        "post": P.CONTACTS_WRITE,
    }

    def get(self, request: Request, contact_id: str) -> Response:
        return self._show(self.contact(contact_id))

    def post(self, request: Request, contact_id: str) -> Response:
        """These labels and no others."""
        contact = self.contact(contact_id)
        if "labels" not in self.params:
            raise missing("labels")
        names = params.texts(self.params, "labels", count=MAX_LABELS)
        return self._show(services.set_contact_labels(contact, names))

    def _show(self, contact: Contact) -> Response:
        names = contact.labels.order_by("name").values_list("name", flat=True)
        return Response({"payload": list(names)})


class ContactMerge(ContactView):
    """`/actions/contact_merge`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONTACTS_ERASE}

    def post(self, request: Request) -> Response:
        """The mergee is a part of the base contact from now on; it cannot be taken back."""
        base, mergee = (
            self.contact(str(params.required_number(self.params, name)), itself=True)
            for name in ("base_contact_id", "mergee_contact_id")
        )
        services.merge_contacts(base, mergee, by=self.member)
        return Response(contact_json(self.contact(str(base.pk))))


class ContactConversations(ContactView):
    """`/contacts/{id}/conversations`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.CONVERSATIONS_READ}

    def get(self, request: Request, contact_id: str) -> Response:
        rows = self.conversations().filter(contact=self.contact(contact_id))
        rows = rows.order_by("-last_activity_at", "-id")
        found = reading.page_of(rows, self.member, 100)
        return Response({"payload": reading.conversations_json(found, self.member)})


class ContactInboxes(ContactView):
    """`/contacts/{id}/contact_inboxes`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"post": P.CONTACTS_WRITE}

    def post(self, request: Request, contact_id: str) -> Response:
        """One more way to reach them."""
        contact = self.contact(contact_id)
        inbox_id = params.number(self.params, "inbox_id")
        if inbox_id is None:
            raise missing("inbox_id")
        inbox: Inbox = self.find(Inbox.objects.present(), pk=inbox_id)
        source_id = params.text(self.params, "source_id")
        return Response(contact_inbox(starting.address_for(inbox, contact, source_id)))


class ContactableInboxes(ContactView):
    """`/contacts/{id}/contactable_inboxes`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.CONTACTS_READ}

    def get(self, request: Request, contact_id: str) -> Response:
        """Those that reach them already, and those that could by their number."""
        contact = self.contact(contact_id)
        known = [contact_inbox(address) for address in contact.addresses.all()]
        reached = {one["inbox"]["id"] for one in known}
        digits = contact.phone.removeprefix("+")
        others = Inbox.objects.present().exclude(pk__in=reached)
        others = others.exclude(platform__in=starting.VISITORS)
        further = others.order_by("pk") if digits.isdecimal() else ()
        could = [{"source_id": digits, "inbox": slim_inbox(inbox)} for inbox in further]
        return Response({"payload": [*known, *could]})
