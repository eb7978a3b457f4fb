"""The forms of inboxes, made from what a channel says it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Team
from conversations.channels import Channel, Field
from conversations.models import Inbox


class InboxForm(forms.Form):
    """Name, fallback team, and the channel's own fields. A secret is never shown again.

    With an `inbox` an empty secret field leaves what is stored.
    """

    name = forms.CharField(
        label=_("Name"), max_length=120, help_text=_("Only your colleagues see it.")
    )
    fallback_team = forms.ModelChoiceField(
        label=_("Fallback team"),
        queryset=Team.objects.none(),
        required=False,
        empty_label=_("Nobody in particular"),
        help_text=_("Gets a conversation when an AI agent gives it up. Else it waits for all."),
    )

    def __init__(
        self, *args: Any, channel: Channel, inbox: Inbox | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.channel, self.inbox = channel, inbox
        teams = self.fields["fallback_team"]
        teams.queryset = Team.objects.order_by("name")  # type: ignore[attr-defined]
        if inbox is None:
            self.initial.setdefault("name", str(channel.name))
        else:
            self.initial.update(name=inbox.name, fallback_team=inbox.fallback_team_id)
        for field in channel.fields:
            self.fields[field.name] = self._field(field.name, secret=field.secret)

    def _field(self, name: str, *, secret: bool) -> forms.Field:
        field = next(field for field in self.channel.fields if field.name == name)
        if field.choices:
            return self._choice(field)
        kept = self.inbox is not None and secret
        attributes = {"autocomplete": "off", "spellcheck": "false"}
        widget = forms.PasswordInput if secret else forms.TextInput
        help_text = gettext(field.help) if field.help else ""
        if kept:
            help_text = gettext("Empty: the stored one stays.")
        return forms.CharField(
            validators=[_refuser(field)],
            label=gettext(field.label),
            max_length=4000,
            required=field.required and not kept,
            help_text=help_text,
            initial="" if secret or self.inbox is None else self.inbox.config.get(name, ""),
            widget=widget(attrs=attributes),
        )

    def _choice(self, field: Field) -> forms.ChoiceField:
        first = next(iter(field.choices))
        return forms.ChoiceField(
            label=gettext(field.label),
            choices=[(value, gettext(label)) for value, label in field.choices.items()],
            required=field.required,
            help_text=gettext(field.help) if field.help else "",
            initial=first if self.inbox is None else self.inbox.config.get(field.name, first),
        )

    def values(self) -> dict[str, str]:
        """The answers to the channel's fields."""
        return {field.name: self.cleaned_data[field.name] for field in self.channel.fields}


def _refuser(field: Field) -> Callable[[str], None]:
    def refuse(value: str) -> None:
        if sentence := field.refusal(value):
            raise forms.ValidationError(sentence)

    return refuse
