"""What the phone posts to Django: a message without script, and a file ahead of its message."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from conversations.files import CheckedFile, RefusedFileError, check_upload
from integrations.sandbox.channel import MAX_CHOICE, MAX_TEXT

# Before the name of a form's field, on the page.
ANSWER = "field:"


class UploadForm(forms.Form):
    """`cleaned_data["file"]` is a `CheckedFile`."""

    file = forms.FileField(required=True, max_length=5000)
    voice = forms.BooleanField(required=False)

    # The HTTP status of the refusal: 413, 415, or 400 for a request without a file.
    status = 400

    def clean_file(self) -> CheckedFile | None:
        given: UploadedFile[bytes] | None = self.cleaned_data["file"]
        if given is None:
            return None
        try:
            return check_upload(
                given.read(), filename=given.name or "", claimed=given.content_type or ""
            )
        except RefusedFileError as error:
            self.status = error.status
            raise forms.ValidationError(error.message) from error


class SayForm(UploadForm):
    """A whole message from a browser without script: text, file, a tapped choice, or a filled-in form."""

    file = forms.FileField(required=False, max_length=5000)
    text = forms.CharField(required=False, max_length=MAX_TEXT)
    choice_id = forms.CharField(required=False, max_length=MAX_CHOICE)
    choice_title = forms.CharField(required=False, max_length=MAX_CHOICE)
    choice_from = forms.CharField(required=False, max_length=10)
    reply_to = forms.CharField(required=False, max_length=250)

    def clean(self) -> dict[str, Any]:
        """`answers` are those of a filled-in form, by the names of its fields."""
        given = super().clean() or {}
        given["answers"] = {
            key.removeprefix(ANSWER): value
            for key, value in self.data.items()
            if key.startswith(ANSWER)
        }
        if len(str(given["answers"])) > MAX_TEXT:
            raise forms.ValidationError(_("This is longer than a message may be."))
        said = [given.get(name) for name in ("text", "file", "choice_id", "answers")]
        if not any(said) and not self.errors:
            raise forms.ValidationError(_("Write something first."))
        return given
