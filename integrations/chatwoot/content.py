"""What a client of theirs wants said, as our canonical content.

`input_select` becomes buttons (up to three) or a list, as they render it on WhatsApp; cards, forms,
articles and asked values are what they are (`offers`). What has no canonical counterpart is refused
with a sentence.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from conversations.messages import Content
from conversations.uploads import store
from integrations.chatwoot import offers, templates
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import unprocessable

MAX_CONTENT = 150_000
MAX_FILES = 15
OFFERS = frozenset({*offers.MOST, *offers.INPUTS})
CONTENT_TYPES = OFFERS | {
    "text", "incoming_email", "input_csat", "integrations", "sticker", "voice_call",
}  # fmt: skip
# What the desk itself says in them, or reads out of them.
KNOWN_ATTRIBUTES = frozenset(
    {
        "items", "submitted_values", "submitted_email", "in_reply_to", "in_reply_to_external_id",
        "deleted", "external_error", "external_echo", "is_unsupported",
    }
)  # fmt: skip
MAX_ATTRIBUTES = 10_000
# When it was said elsewhere, by the client's own word; a parameter of its own with them.
SAID_AT = "external_created_at"


def content_of(given: Params, *, account_id: int) -> Content:
    """The content of a new message; its files are checked and kept. Raises `ChatwootError` (422)."""
    said = _said(given, account_id)
    return replace(said, attributes=own_attributes(given))


def own_attributes(given: Params) -> dict[str, Any]:
    """The keys of `content_attributes` that mean nothing but to the client itself."""
    attributes = params.mapping(given, "content_attributes")
    own = {name: value for name, value in attributes.items() if name not in KNOWN_ATTRIBUTES}
    if said_at := params.text(given, SAID_AT, most=100):
        own[SAID_AT] = params.as_number(said_at) or said_at
    if len(json.dumps(own)) > MAX_ATTRIBUTES:
        raise unprocessable(_("The content attributes are too large."))
    return own


def _said(given: Params, account_id: int) -> Content:
    text = params.text(given, "content", most=MAX_CONTENT)
    kind = params.choice(given, "content_type", CONTENT_TYPES, "text")
    template = templates.content_of(given, text)
    files = files_of(given)
    if template and (files or kind != "text"):
        raise unprocessable(_("A template goes alone."))
    if template:
        return template
    if files and kind != "text":
        raise unprocessable(_("Files go with plain text only."))
    if files:
        media = tuple(store(file, account_id=account_id) for file in files)
        return Content(kind=media[0].kind, text=text, media=media)
    if kind in OFFERS:
        return offers.read(kind, text, params.mapping(given, "content_attributes").get("items"))
    if kind != "text":
        raise unprocessable(_("Messages of the type “%(type)s” cannot be sent.") % {"type": kind})
    if not text.strip():
        raise unprocessable(_("Write something."))
    return Content(text=text)


def files_of(given: Params) -> list[UploadedFile[Any]]:
    """`attachments[]` of a form; a field that was left empty is none."""
    value = given.get("attachments")
    files = [
        file for file in (value if isinstance(value, list) else [value]) if file not in (None, "")
    ]
    if len(files) > MAX_FILES:
        raise unprocessable(_("A message has at most %(most)d files.") % {"most": MAX_FILES})
    if any(not isinstance(file, UploadedFile) for file in files):
        raise unprocessable(
            _("Send files as multipart/form-data; ids of uploads are not known here.")
        )
    return files
