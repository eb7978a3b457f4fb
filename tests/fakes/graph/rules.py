"""What Meta requires of a message (channels.md 2.7, 2.11, 2.12), and how it says no."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from typing import Any

# Codes whose answer is not simply a 400.
STATUS_OF_CODE = {
    **dict.fromkeys((0, 190), 401),
    **dict.fromkeys((3, 10, 368, 131005, 131031, *range(200, 300)), 403),
    **dict.fromkeys((1, 131000, 131016, 135000), 500),
    **dict.fromkeys((2, 131057), 503),
}


class GraphError(Exception):
    """A refusal in Meta's shape."""

    def __init__(
        self,
        code: int,
        message: str,
        details: str = "",
        *,
        status: int | None = None,
        transient: bool | None = None,
        subcode: int | None = None,
    ) -> None:
        super().__init__(f"(#{code}) {message} {details}".strip())
        self.code = code
        self.message = message
        self.details = details
        self.status = status or STATUS_OF_CODE.get(code, 400)
        self.transient = transient
        self.subcode = subcode

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {
            "message": f"(#{self.code}) {self.message}",
            "type": "OAuthException",
            "code": self.code,
            "fbtrace_id": "AfakeTrace0001",
        }
        if self.details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        if self.transient is not None:
            error["is_transient"] = self.transient
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        return {"error": error}


def missing(what: str) -> GraphError:
    return GraphError(131008, "Required parameter is missing", what)


def bad(what: str) -> GraphError:
    return GraphError(131009, "Parameter value is not valid", what)


def units(text: str) -> int:
    """UTF-16 code units, the strictest way to count."""
    return len(text.encode("utf-16-le")) // 2


def text_of(parent: dict[str, Any], key: str, *, most: int, least: int = 1, where: str = "") -> str:
    place = f"{where}.{key}" if where else key
    value = parent.get(key)
    if value is None and least == 0:
        return ""
    if value is None:
        raise missing(f"{place} is required")
    if not isinstance(value, str):
        raise bad(f"{place} must be a string")
    if not least <= units(value) <= most:
        raise bad(f"{place} must have {least} to {most} characters, has {units(value)}")
    return value


def object_of(
    parent: dict[str, Any], key: str, allowed: set[str], where: str = ""
) -> dict[str, Any]:
    """A required object that holds none but known keys."""
    place = f"{where}.{key}" if where else key
    value = parent.get(key)
    if value is None:
        raise missing(f"{place} is required")
    if not isinstance(value, dict):
        raise bad(f"{place} must be an object")
    strange = set(value) - allowed
    if strange:
        raise GraphError(100, f'Unexpected key "{sorted(strange)[0]}" on param "{place}"')
    return value


def list_of(parent: dict[str, Any], key: str, *, most: int, where: str) -> list[dict[str, Any]]:
    value = parent.get(key)
    if not isinstance(value, list) or not value:
        raise missing(f"{where}.{key} must be an array with something in it")
    if len(value) > most:
        raise bad(f"{where}.{key} may have {most} elements, has {len(value)}")
    if not all(isinstance(element, dict) for element in value):
        raise bad(f"{where}.{key} must hold objects")
    return value


FRAME = {
    "messaging_product", "recipient_type", "to", "recipient", "type", "context",
    "biz_opaque_callback_data",
}  # fmt: skip


def check_message(body: Any, media: Collection[str]) -> None:
    """Raise `GraphError` unless Meta would take this message. `media` are the ids it knows."""
    if not isinstance(body, dict):
        raise GraphError(100, "Invalid parameter", "the body must be a JSON object")
    if body.get("messaging_product") != "whatsapp":
        raise GraphError(100, "The parameter messaging_product is required.")
    if body.get("recipient_type", "individual") != "individual":
        raise bad("recipient_type must be individual")
    check_recipient(body)
    kind = body.get("type", "text")
    check = TYPES.get(kind) if isinstance(kind, str) else None
    if check is None:
        raise GraphError(100, f"Param type must be one of {sorted(TYPES)}")
    if body.get(kind) is None:
        raise missing(f"{kind} is required for a message of type {kind}")
    strange = set(body) - FRAME - {kind}
    if strange:
        raise GraphError(100, f'Unexpected key "{sorted(strange)[0]}" on the message')
    check(body, media)
    if "context" in body:
        text_of(object_of(body, "context", {"message_id"}), "message_id", most=512, where="context")
    text_of(body, "biz_opaque_callback_data", most=512, least=0)


def check_recipient(body: dict[str, Any]) -> None:
    to, recipient = body.get("to"), body.get("recipient")
    if to is None and recipient is None:
        raise GraphError(100, "The parameter to is required.")
    if to is not None and recipient is not None:
        raise bad("to and recipient exclude each other")
    if to is not None and not (isinstance(to, str) and re.fullmatch(r"\+?[0-9]{5,20}", to)):
        raise bad("to must be a phone number")
    if recipient is not None and not (
        isinstance(recipient, str) and re.fullmatch(r"[A-Z]{2}\.(ENT\.)?[0-9]+", recipient)
    ):
        raise bad("recipient must be a business-scoped user id")


def check_text(body: dict[str, Any], _media: Collection[str]) -> None:
    text = object_of(body, "text", {"body", "preview_url"})
    text_of(text, "body", most=4096, where="text")
    if not isinstance(text.get("preview_url", False), bool):
        raise bad("text.preview_url must be a boolean")


def check_file(kind: str, extra: set[str]) -> Callable[[dict[str, Any], Collection[str]], None]:
    def check(body: dict[str, Any], media: Collection[str]) -> None:
        file = object_of(body, kind, {"id", "link"} | extra)
        if ("id" in file) == ("link" in file):
            raise bad(f"{kind} needs either id or link")
        if "id" in file and file["id"] not in media:
            raise GraphError(
                100,
                f"Param {kind}['id'] is not a valid whatsapp business account media attachment ID",
            )
        if "link" in file and not str(file["link"]).startswith(("http://", "https://")):
            raise bad(f"{kind}.link must be a URL")
        text_of(file, "caption", most=1024, least=0, where=kind)
        text_of(file, "filename", most=240, least=0, where=kind)

    return check


def check_location(body: dict[str, Any], _media: Collection[str]) -> None:
    place = object_of(body, "location", {"latitude", "longitude", "name", "address"})
    for key, most in (("latitude", 90), ("longitude", 180)):
        value = place.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise missing(f"location.{key} must be a number")
        if abs(value) > most:
            raise bad(f"location.{key} is not on earth")


def check_contacts(body: dict[str, Any], _media: Collection[str]) -> None:
    for card in list_of(body, "contacts", most=5, where="message"):
        name = card.get("name")
        if not isinstance(name, dict) or not name.get("formatted_name"):
            raise missing("contacts[].name.formatted_name is required")
        if not set(name) & {"first_name", "last_name", "middle_name", "suffix", "prefix"}:
            raise missing("contacts[].name needs another part beside formatted_name")


def check_reaction(body: dict[str, Any], _media: Collection[str]) -> None:
    reaction = object_of(body, "reaction", {"message_id", "emoji"})
    text_of(reaction, "message_id", most=512, where="reaction")
    if not isinstance(reaction.get("emoji"), str):
        raise missing("reaction.emoji is required; it is empty to remove a reaction")


def check_template(body: dict[str, Any], _media: Collection[str]) -> None:
    template = object_of(body, "template", {"name", "language", "components"})
    text_of(template, "name", most=512, where="template")
    language = object_of(template, "language", {"code", "policy"}, where="template")
    text_of(language, "code", most=20, where="template.language")
    if "components" in template:
        for component in list_of(template, "components", most=20, where="template"):
            check_component(component)


def check_component(component: dict[str, Any]) -> None:
    button = component.get("type") == "button"
    if not button and component.get("type") not in ("header", "body"):
        raise bad("components[].type must be header, body or button")
    allowed = {"type", "parameters"} | ({"sub_type", "index"} if button else set())
    if strange := set(component) - allowed:
        raise GraphError(100, f'Unexpected key "{sorted(strange)[0]}" on param "components"')
    if button and component.get("sub_type") not in ("url", "quick_reply", "copy_code"):
        raise bad("components[].sub_type is unknown")
    if button:
        text_of(component, "index", most=2, where="components[]")
    for parameter in list_of(component, "parameters", most=100, where="components[]"):
        check_parameter(parameter)


def check_parameter(parameter: dict[str, Any]) -> None:
    kind = parameter.get("type")
    if kind in ("text", "payload", "coupon_code"):
        value = text_of(parameter, kind, most=1024, where="parameters[]")
        if re.search(r"[\r\n\t]| {5}", value):
            raise bad("a value has no line ends, no tabs and no more than four spaces in a row")
        if "parameter_name" in parameter:
            text_of(parameter, "parameter_name", most=512, where="parameters[]")
    elif kind in ("image", "video", "document"):
        file = object_of(parameter, kind, {"link", "id", "filename"}, where="parameters[]")
        text_of(file, "link", most=2048, where=kind)
    else:
        raise bad("parameters[].type is unknown")


def check_interactive(body: dict[str, Any], media: Collection[str]) -> None:
    interactive = object_of(body, "interactive", {"type", "header", "body", "footer", "action"})
    kind = interactive.get("type")
    if kind not in ("button", "list"):
        raise bad("interactive.type must be button or list")
    words = object_of(interactive, "body", {"text"}, where="interactive")
    text_of(words, "text", most=1024 if kind == "button" else 4096, where="interactive.body")
    if "header" in interactive:
        check_header(interactive, media)
    if "footer" in interactive:
        footer = object_of(interactive, "footer", {"text"}, where="interactive")
        text_of(footer, "text", most=60, where="interactive.footer")
    (check_buttons if kind == "button" else check_list)(interactive)


def check_header(interactive: dict[str, Any], media: Collection[str]) -> None:
    """A text, or above reply buttons a picture."""
    header = object_of(interactive, "header", {"type", "text", "image"}, where="interactive")
    if header.get("type") == "image" and interactive.get("type") == "button":
        check_file("image", set())(header, media)
    else:
        text_of(header, "text", most=60, where="interactive.header")


def check_buttons(interactive: dict[str, Any]) -> None:
    action = object_of(interactive, "action", {"buttons"}, where="interactive")
    replies = []
    for button in list_of(action, "buttons", most=3, where="action"):
        if button.get("type") != "reply":
            raise bad("action.buttons[].type must be reply")
        replies.append(object_of(button, "reply", {"id", "title"}, where="action.buttons[]"))
    check_choices(replies, title=20, identifier=256)


def check_list(interactive: dict[str, Any]) -> None:
    action = object_of(interactive, "action", {"button", "sections"}, where="interactive")
    text_of(action, "button", most=20, where="action")
    sections = list_of(action, "sections", most=10, where="action")
    rows: list[dict[str, Any]] = []
    for section in sections:
        text_of(section, "title", most=24, least=0 if len(sections) == 1 else 1, where="section")
        rows += list_of(section, "rows", most=10, where="section")
    if len(rows) > 10:
        raise bad(f"a list may have 10 rows in all, has {len(rows)}")
    for row in rows:
        if set(row) - {"id", "title", "description"}:
            raise GraphError(100, "Unexpected key on a row")
        text_of(row, "description", most=72, least=0, where="row")
    check_choices(rows, title=24, identifier=200)


def check_choices(choices: list[dict[str, Any]], *, title: int, identifier: int) -> None:
    titles = [text_of(choice, "title", most=title, where="choice") for choice in choices]
    ids = [text_of(choice, "id", most=identifier, where="choice") for choice in choices]
    if len(set(ids)) < len(ids):
        raise bad("ids must be unique in one message")
    if len(set(titles)) < len(titles):
        raise bad("titles must be unique in one message")
    if any(text != text.strip() for text in ids):
        raise bad("ids may not begin or end with blanks")


TYPES: dict[str, Callable[[dict[str, Any], Collection[str]], None]] = {
    "text": check_text,
    "image": check_file("image", {"caption"}),
    "audio": check_file("audio", {"voice"}),
    "video": check_file("video", {"caption"}),
    "document": check_file("document", {"caption", "filename"}),
    "sticker": check_file("sticker", set()),
    "location": check_location,
    "contacts": check_contacts,
    "reaction": check_reaction,
    "template": check_template,
    "interactive": check_interactive,
}


def check_read_receipt(body: dict[str, Any]) -> None:
    if body.get("messaging_product") != "whatsapp":
        raise GraphError(100, "The parameter messaging_product is required.")
    if body.get("status") != "read":
        raise bad("status must be read")
    if not text_of(body, "message_id", most=512).startswith("wamid."):
        raise GraphError(100, "Invalid parameter", "message_id is no message of a customer")
    if "typing_indicator" in body and body["typing_indicator"] != {"type": "text"}:
        raise bad("typing_indicator must be of type text")
    strange = set(body) - {"messaging_product", "status", "message_id", "typing_indicator"}
    if strange:
        raise GraphError(100, f'Unexpected key "{sorted(strange)[0]}"')


MB = 1024 * 1024
DOCUMENT_LIMIT = 100 * MB
MEDIA_LIMITS = {
    **dict.fromkeys(("image/jpeg", "image/png"), 5 * MB),
    **dict.fromkeys(("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4"), 16 * MB),
    "audio/ogg; codecs=opus": 16 * MB,
    **dict.fromkeys(("video/mp4", "video/3gpp"), 16 * MB),
    "image/webp": 500 * 1024,
}
# Meta names the type of every other upload as a document, but never these.
NO_DOCUMENTS = ("audio/", "video/")


def check_upload(mime: str, size: int) -> None:
    plain = mime.strip().lower()
    if plain not in MEDIA_LIMITS and plain.startswith(NO_DOCUMENTS):
        raise GraphError(131053, "Media upload error", f"unsupported type {mime}")
    if not 0 < size <= MEDIA_LIMITS.get(plain, DOCUMENT_LIMIT):
        raise GraphError(131053, "Media upload error", f"{size} bytes of {mime} are too many")
