"""What a client of theirs wants said, as our canonical content.

`input_select` becomes buttons (up to three) or a list, as they render it on WhatsApp; the question
types are plain text there too. What has no canonical counterpart is refused with a sentence.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from conversations.messages import Choice, Content, Kind, Section
from conversations.uploads import store
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import unprocessable

MAX_CONTENT = 150_000
MAX_FILES = 15
MAX_ITEMS = 100
# More choices than this do not fit on buttons (WhatsApp).
MAX_BUTTONS = 3
PLAIN = frozenset({"text", "input_text", "input_textarea", "input_email"})
CONTENT_TYPES = PLAIN | {
    "input_select", "cards", "form", "article", "incoming_email", "input_csat", "integrations",
    "sticker", "voice_call",
}  # fmt: skip
# What the desk itself says in them, or reads out of them.
KNOWN_ATTRIBUTES = frozenset(
    {"items", "in_reply_to", "in_reply_to_external_id", "deleted", "external_error"}
)
MAX_ATTRIBUTES = 10_000
ITEM_KEYS = frozenset({"title", "value"})


def content_of(given: Params, *, account_id: int) -> Content:
    """The content of a new message; its files are checked and kept. Raises `ChatwootError` (422)."""
    said = _said(given, account_id)
    return replace(said, attributes=own_attributes(given))


def own_attributes(given: Params) -> dict[str, Any]:
    """The keys of `content_attributes` that mean nothing but to the client itself."""
    attributes = params.mapping(given, "content_attributes")
    own = {name: value for name, value in attributes.items() if name not in KNOWN_ATTRIBUTES}
    if len(json.dumps(own)) > MAX_ATTRIBUTES:
        raise unprocessable(_("The content attributes are too large."))
    return own


def _said(given: Params, account_id: int) -> Content:
    text = params.text(given, "content", most=MAX_CONTENT)
    kind = params.choice(given, "content_type", CONTENT_TYPES, "text")
    if given.get("template_params"):
        raise unprocessable(_("Templates cannot be sent by this call."))
    files = files_of(given)
    if files and kind not in PLAIN:
        raise unprocessable(_("Files go with plain text only."))
    if files:
        media = tuple(store(file, account_id=account_id) for file in files)
        return Content(kind=media[0].kind, text=text, media=media)
    if kind == "input_select":
        return _choices(text, params.mapping(given, "content_attributes").get("items"))
    if kind not in PLAIN:
        raise unprocessable(_("Messages of the type “%(type)s” cannot be sent.") % {"type": kind})
    if not text.strip():
        raise unprocessable(_("Write something."))
    return Content(text=text)


def files_of(given: Params) -> list[UploadedFile[Any]]:
    """`attachments[]` of a form."""
    value = given.get("attachments") or []
    files = value if isinstance(value, list) else [value]
    if len(files) > MAX_FILES:
        raise unprocessable(_("A message has at most %(most)d files.") % {"most": MAX_FILES})
    if any(not isinstance(file, UploadedFile) for file in files):
        raise unprocessable(
            _("Send files as multipart/form-data; ids of uploads are not known here.")
        )
    return files


def _choices(text: str, items: Any) -> Content:
    choices = [_choice(item) for item in items] if isinstance(items, list) else []
    if not choices:
        raise unprocessable("Content attributes At least one item is required.")
    if len(choices) > MAX_ITEMS:
        raise unprocessable(_("A list has at most %(most)d items.") % {"most": MAX_ITEMS})
    if not text.strip():
        raise unprocessable(_("Write something."))
    if len(choices) <= MAX_BUTTONS:
        return Content(kind=Kind.BUTTONS, text=text, buttons=tuple(choices))
    return Content(
        kind=Kind.LIST,
        text=text,
        sections=(Section("", tuple(choices)),),
        list_button=_("Choose"),
    )


def _choice(item: Any) -> Choice:
    if not isinstance(item, dict) or not item.keys() <= ITEM_KEYS:
        keys = sorted(item.keys() - ITEM_KEYS) if isinstance(item, dict) else []
        raise unprocessable(f"Content attributes contains invalid keys for items : {keys[:10]}")
    title, value = params.text(item, "title").strip(), params.text(item, "value")
    if not title:
        raise unprocessable("Content attributes items need a title")
    return Choice(id=value or title, title=title)
