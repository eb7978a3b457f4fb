"""Staff: what platforms brought and what became of it, during a visit to an account."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy

from accounts.redaction import redact
from accounts.staff import ContentAdmin
from integrations.models import Receipt


@admin.register(Receipt)
class ReceiptAdmin(ContentAdmin):
    """Never the body: it is what the customer's phone or the platform said, word for word."""

    list_display = ("received_at", "inbox", "state", "tries", "outcome")
    list_filter = ("state",)
    list_select_related = ("inbox",)
    ordering = ("-pk",)
    fields = ("received_at", "inbox", "state", "tries", "next_try_at", "outcome")

    @admin.display(description=gettext_lazy("Result"))
    def outcome(self, receipt: Receipt) -> str:
        return redact(receipt.result)

    def masked(self, row: Receipt) -> Receipt:
        row.dedupe_key = row.public_id  # its key may hold a phone number, and it is the title
        return row
