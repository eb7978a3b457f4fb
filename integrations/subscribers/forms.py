"""The forms of a webhook; services decide, these check shape."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django import forms
from django.forms.boundfield import BoundWidget
from django.utils.translation import gettext_lazy as _

from agents.addresses import AddressForm
from conversations.models import Endpoint
from conversations.services.endpoints import GRACE
from integrations.subscribers.catalogue import EVENT_TYPES, FAMILIES, NATIVE

TITLES = {
    "conversation": _("Conversations"),
    "message": _("Messages"),
    "contact": _("Contacts"),
}
GRACES = [
    (1, _("1 hour")),
    (24, _("24 hours")),
    (72, _("3 days")),
    (168, _("7 days")),
    (0, _("not at all: it is in wrong hands")),
]


class WebhookForm(AddressForm):
    name = forms.CharField(label=_("Name"), max_length=120, help_text=_("What it is for."))
    url = forms.CharField(
        label=_("Address"),
        max_length=2000,
        help_text=_("Where we send what happens, such as https://crm.example.com/switchboard."),
        widget=forms.URLInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    event_types = forms.MultipleChoiceField(
        label=_("Events"),
        choices=[*FAMILIES.items(), *EVENT_TYPES.items()],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: every event, those of later versions too."),
    )
    timeout_s = forms.IntegerField(
        label=_("Time limit in seconds"),
        min_value=5,
        max_value=30,
        initial=15,
        help_text=_("An answer that takes longer counts as a failure."),
    )
    strict_order = forms.BooleanField(
        label=_("Rather wait than get events out of order"),
        required=False,
        help_text=_(
            "Otherwise an event that failed four times is tried alone, and the later ones of its "
            "conversation go ahead."
        ),
    )

    def __init__(self, *args: Any, endpoint: Endpoint | None = None, **kwargs: Any) -> None:
        super().__init__(*args, known=endpoint.url if endpoint else "", **kwargs)
        if endpoint is not None:
            if endpoint.dialect != NATIVE:  # its events are chosen by the API that made it
                del self.fields["event_types"]
            self.initial = {name: getattr(endpoint, name) for name in self.fields}

    def families(self) -> Iterator[tuple[Any, list[BoundWidget]]]:
        """The checkboxes of the events, by what they are about; none where they are not chosen here."""
        if "event_types" not in self.fields:
            return
        options = list(self["event_types"])
        for family, title in TITLES.items():
            yield title, [one for one in options if one.data["value"].startswith(f"{family}.")]


class GraceForm(forms.Form):
    """How long the old secret signs beside the new one."""

    grace_hours = forms.TypedChoiceField(
        label=_("The old one signs along for"),
        choices=GRACES,
        coerce=int,
        initial=int(GRACE.total_seconds() // 3600),
    )

    @property
    def grace(self) -> timedelta:
        return timedelta(hours=self.cleaned_data["grace_hours"])
