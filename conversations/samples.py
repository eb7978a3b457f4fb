"""Invented conversations for `/ui/`."""

from __future__ import annotations

from typing import Any

from django import forms


class SampleForm(forms.Form):
    name = forms.CharField(label="Name", help_text="How customers and colleagues see it.")
    address = forms.URLField(label="Address", assume_scheme="https")
    kind = forms.ChoiceField(label="Dialect", choices=[("native", "Switchboard"), ("wati", "Wati")])
    text = forms.CharField(label="Greeting", widget=forms.Textarea, required=False)
    starts = forms.DateField(
        label="From", widget=forms.DateInput(attrs={"type": "date"}), required=False
    )
    role = forms.ChoiceField(
        label="Role",
        widget=forms.RadioSelect,
        choices=[("admin", "Admin"), ("person", "Person")],
        initial="person",
    )
    active = forms.BooleanField(
        label="Active", help_text="Takes new conversations.", required=False
    )


def context() -> dict[str, Any]:
    return {
        "form": SampleForm(),
        "wrong": SampleForm({"address": "not an address", "name": ""}),
        "looks": range(1, 9),
    }
