"""What an account knows of its attributes: their names, and what may stand in them."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.tenancy import AccountModel


class AttributeDefinition(AccountModel):
    """An attribute of contacts or of conversations. One that is not defined may hold anything."""

    class Of(models.TextChoices):
        CONTACT = "contact", _("customers")
        CONVERSATION = "conversation", _("conversations")

    class Kind(models.TextChoices):
        TEXT = "text", _("text")
        NUMBER = "number", _("number")
        LINK = "link", _("link")
        DATE = "date", _("date")
        LIST = "list", _("one of a list")
        CHECKBOX = "checkbox", _("yes or no")

    of = models.CharField(_("of"), max_length=12, choices=Of)
    key = models.CharField(_("key"), max_length=60)
    name = models.CharField(_("name"), max_length=120)
    description = models.CharField(_("description"), max_length=250, blank=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind, default=Kind.TEXT)
    # What a list offers.
    values = ArrayField(models.CharField(max_length=250), default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    public_id = PublicId("atd")

    class Meta(AccountModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["account", "of", "key"], name="attribute_definition_once"
            )
        ]

    def __str__(self) -> str:
        return self.name
