"""Contacts, and how an inbox reaches them."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.models import Member
from accounts.tenancy import AccountManager, AccountModel, AccountQuerySet
from conversations.messages import Identifier
from conversations.models.inbox import Inbox
from conversations.models.label import Label


class ContactQuerySet(AccountQuerySet["Contact"]):
    def present(self) -> ContactQuerySet:
        """Without those who turned out to be somebody else."""
        return self.filter(merged_into=None)

    def matching(self, text: str) -> ContactQuerySet:
        """With `text` in name, phone, e-mail or identifier."""
        return self.filter(
            Q(name__icontains=text)
            | Q(phone__contains=text.replace(" ", ""))
            | Q(email__icontains=text)
            | Q(identifier__icontains=text)
        )


class Contact(AccountModel):
    """The customer, as one person over all inboxes. A phone number is optional."""

    name = models.CharField(_("name"), max_length=250, blank=True)
    phone = models.CharField(_("phone"), max_length=32, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    language = models.CharField(max_length=10, blank=True)
    attributes = models.JSONField(default=dict, blank=True)
    blocked = models.BooleanField(default=False)
    # What the business itself calls them, in its shop or its CRM.
    identifier = models.CharField(
        _("identifier"), max_length=250, blank=True, default="", db_default=""
    )
    labels = models.ManyToManyField(Label, through="ContactLabel", related_name="contacts")
    # Since then nothing is known of them but their conversations' numbers (SX-101).
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Who they turned out to be; nothing else is known here then (`services.merging`).
    merged_into = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        db_index=False,  # `contact_merged` has the few that there are
    )
    merged_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AccountManager.from_queryset(ContactQuerySet)()  # type: ignore[misc]  # narrower
    public_id = PublicId("con")

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "identifier"],
                condition=~Q(identifier=""),
                name="contact_identifier_once",
            )
        ]
        indexes = [
            models.Index(fields=["account", "-updated_at", "-id"], name="contact_recent"),
            models.Index(
                fields=["merged_into"],
                condition=Q(merged_into__isnull=False),
                name="contact_merged",
            ),
            # Equality alone is asked of an index behind wall 3: searching for a part is not leakproof.
            models.Index(
                fields=["account", "phone"], condition=~Q(phone=""), name="contact_by_phone"
            ),
        ]

    def __str__(self) -> str:
        if self.erased_at is not None:
            return str(_("Erased customer"))
        if self.merged_into_id is not None:
            return str(_("Merged customer"))
        return self.name or self.phone or str(_("Unknown customer"))

    @property
    def audit_name(self) -> str:
        return str(self.public_id)


class ContactLabel(AccountModel):
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE)
    label = models.ForeignKey(Label, on_delete=models.CASCADE)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "contact", "label"], name="contact_label_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.label} on {self.contact_id}"


class ContactNote(AccountModel):
    """What people write down about a customer; neither they nor AI agents read it."""

    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="notes")
    author = models.ForeignKey(Member, on_delete=models.SET_NULL, null=True, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    public_id = PublicId("cno")

    def __str__(self) -> str:
        return f"note about {self.contact_id}"


class Address(AccountModel):
    """How one inbox reaches one contact."""

    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE, related_name="addresses")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="addresses")
    # The reply window counts from here (channels.md 2.13).
    last_inbound_at = models.DateTimeField(null=True, blank=True)
    last_inbound_external_id = models.CharField(max_length=250, blank=True)
    unreachable_reason = models.CharField(max_length=250, blank=True)
    # The identity that was proven here, whoever's the address is by now.
    proven_identifier = models.CharField(
        max_length=250, blank=True, default="", db_default="", editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    public_id = PublicId("adr")
    # What it is called, where somebody has read that for many at once (`names`).
    known_identifiers: list[AddressIdentifier] | None = None

    def __str__(self) -> str:
        return f"{self.contact} in {self.inbox}"

    @property
    def names(self) -> list[AddressIdentifier]:
        """What the platform calls it."""
        if self.known_identifiers is not None:
            return self.known_identifiers
        return list(self.identifiers.all())

    def proves(self, contact: Contact) -> bool:
        """Whether whoever writes from here has proven to be this contact."""
        return bool(self.proven_identifier) and self.proven_identifier == contact.identifier

    @cached_property
    def is_shared(self) -> bool:
        """Whether somebody was merged into its contact, so that more is known of them than from here."""
        return Contact.objects.filter(merged_into=self.contact_id).exists()

    def window_closes_at(self) -> datetime | None:
        """When free text stops being allowed; None when the channel has no window."""
        window = self.inbox.channel.capabilities.window
        if window is None or self.last_inbound_at is None:
            return None
        return self.last_inbound_at + window


class AddressIdentifier(AccountModel):
    """One name a platform knows the contact by; several per address, never the phone alone."""

    inbox = models.ForeignKey(Inbox, on_delete=models.CASCADE, related_name="+")
    address = models.ForeignKey(Address, on_delete=models.CASCADE, related_name="identifiers")
    kind = models.CharField(max_length=30)
    value = models.CharField(max_length=250)

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "inbox", "kind", "value"], name="identifier_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"

    def as_identifier(self) -> Identifier:
        return Identifier(self.kind, self.value)
