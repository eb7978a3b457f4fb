"""Labels: words of the account's own on conversations and contacts."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.ids import PublicId
from accounts.tenancy import AccountModel

# What a colour's name looks like; an account may also name one by its digits (`#1f93ff`).
SHADES = {
    "slate": "#64748b", "blue": "#2563eb", "teal": "#0d9488", "green": "#16a34a",
    "amber": "#d97706", "red": "#dc2626", "pink": "#db2777", "violet": "#7c3aed",
}  # fmt: skip


class Label(AccountModel):
    name = models.CharField(_("name"), max_length=60)
    colour = models.CharField(_("colour"), max_length=12, default="slate")
    description = models.CharField(
        _("description"), max_length=250, blank=True, default="", db_default=""
    )
    # Whether the list of conversations offers it as a filter.
    in_filters = models.BooleanField(default=True, db_default=True)

    public_id = PublicId("lab")

    class Meta(AccountModel.Meta):
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="label_name_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def shade(self) -> str:
        """The colour as `#rrggbb`; a name that nobody knows is the plain one."""
        if self.colour.startswith("#"):
            return self.colour
        return SHADES.get(self.colour, SHADES["slate"])
