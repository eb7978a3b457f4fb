"""Canonical content to JSON and back: what stands in `Message.content`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conversations.messages import (
    MEDIA_KINDS,
    ActionKind,
    Article,
    ButtonKind,
    Card,
    CardAction,
    CarouselCard,
    Choice,
    Content,
    FieldType,
    FormField,
    InboundMessage,
    Input,
    Kind,
    Location,
    OutboundMedia,
    Section,
    Template,
    TemplateButton,
)
from conversations.models import Attachment, Message


def content_json(content: Content) -> dict[str, Any]:
    """Everything of `content` beyond kind, text and files."""
    data: dict[str, Any] = {}
    if content.buttons:
        data["buttons"] = [choice_json(button) for button in content.buttons]
    if content.sections:
        data["list"] = {
            "button": content.list_button,
            "sections": [
                {"title": section.title, "rows": [choice_json(row) for row in section.rows]}
                for section in content.sections
            ],
        }
    for name in ("header", "footer", "emoji", "attributes"):
        if value := getattr(content, name):
            data[name] = value
    if content.location:
        data["location"] = location_json(content.location)
    if content.cards:
        data["cards"] = [{"name": card.name, "phones": list(card.phones)} for card in content.cards]
    if content.carousel:
        data["carousel"] = [carousel_card_json(card) for card in content.carousel]
    if content.fields:
        data["fields"] = [field_json(field) for field in content.fields]
    if content.input:
        data["input"] = _said(content.input, "placeholder", type=str(content.input.type))
    if content.articles:
        data["articles"] = [
            _said(article, "description", title=article.title, link=article.link)
            for article in content.articles
        ]
    if content.template:
        data["template"] = template_json(content.template)
    return data


def inbound_json(message: InboundMessage) -> dict[str, Any]:
    """The same for something a customer said; `raw` only for what we cannot show."""
    data: dict[str, Any] = {}
    if message.choice:
        data["choice"] = choice_json(message.choice)
    if message.location:
        data["location"] = location_json(message.location)
    if message.cards:
        data["cards"] = [{"name": card.name, "phones": list(card.phones)} for card in message.cards]
    for name in ("form", "referral"):
        if value := getattr(message, name):
            data[name] = value
    if message.forwarded:
        data["forwarded"] = True
    if message.target_external_id:
        data["target"] = message.target_external_id
    if message.kind in (Kind.UNSUPPORTED, Kind.ORDER, Kind.SYSTEM):
        data["raw"] = message.raw
    if message.kind == Kind.REACTION:
        data["emoji"] = message.text
    return data


def as_content(message: Message) -> Content:
    """The canonical content of a stored message (files as they are stored)."""
    data = message.content
    menu = data.get("list") or {}
    place = data.get("location")
    return Content(
        kind=Kind(message.kind),
        text=message.text,
        media=media_of(message),
        buttons=tuple(_choice(item) for item in data.get("buttons", ())),
        sections=tuple(
            Section(section.get("title", ""), tuple(_choice(row) for row in section["rows"]))
            for section in menu.get("sections", ())
        ),
        list_button=menu.get("button", ""),
        header=data.get("header", ""),
        footer=data.get("footer", ""),
        location=Location(**place) if place else None,
        cards=tuple(
            Card(card["name"], tuple(card.get("phones", ()))) for card in data.get("cards", ())
        ),
        emoji=data.get("emoji", ""),
        carousel=tuple(_carousel_card(card) for card in data.get("carousel", ())),
        fields=tuple(_field(field) for field in data.get("fields", ())),
        input=_input(data["input"]) if data.get("input") else None,
        articles=tuple(Article(**article) for article in data.get("articles", ())),
        template=template_of(data["template"]) if data.get("template") else None,
        attributes=data.get("attributes", {}),
    )


def pictures_of(content: Content) -> tuple[OutboundMedia, ...]:
    """The pictures that its cards name, each once."""
    addresses = dict.fromkeys(card.image_url for card in content.carousel if card.image_url)
    return tuple(OutboundMedia(Kind.IMAGE, "", url=address) for address in addresses)


def offered_choices(data: Mapping[str, Any]) -> list[Choice]:
    """Everything that stored content offers to choose: buttons, rows, postbacks of cards."""
    rows = [
        row for section in (data.get("list") or {}).get("sections", ()) for row in section["rows"]
    ]
    actions = [action for card in data.get("carousel", ()) for action in card.get("actions", ())]
    postbacks = [action for action in actions if action["kind"] == ActionKind.POSTBACK]
    return [_choice(item) for item in (*data.get("buttons", ()), *rows, *postbacks)]


def media_of(message: Message) -> tuple[OutboundMedia, ...]:
    """Its files, as something to send; only messages of a media kind have any."""
    if message.kind not in MEDIA_KINDS:
        return ()
    return tuple(_media(attachment) for attachment in message.files)


def choice_json(choice: Choice) -> dict[str, str]:
    data = {"id": choice.id, "title": choice.title}
    if choice.description:
        data["description"] = choice.description
    return data


def carousel_card_json(card: CarouselCard) -> dict[str, Any]:
    actions = [
        {"kind": str(action.kind), "title": action.title}
        | ({"url": action.url} if action.kind is ActionKind.LINK else {"id": action.id})
        for action in card.actions
    ]
    return _said(card, "description", "image_url", title=card.title, actions=actions)


def field_json(field: FormField) -> dict[str, Any]:
    data = _said(
        field,
        *("label", "placeholder", "default", "required", "pattern", "error"),
        name=field.name,
        type=str(field.type),
    )
    if field.options:
        data["options"] = [choice_json(option) for option in field.options]
    return data


def template_json(template: Template) -> dict[str, Any]:
    """Values as pairs: a JSON object keeps no order in the database."""
    data = _said(template, "category", name=template.name, language=template.language)
    for place in ("header", "body"):
        if values := getattr(template, place):
            data[place] = [list(pair) for pair in values]
    if media := template.media:
        data["media"] = _said(media, "filename", kind=str(media.kind), url=media.url)
    if template.buttons:
        data["buttons"] = [
            {"index": button.index, "kind": str(button.kind), "value": button.value}
            for button in template.buttons
        ]
    return data


def template_of(data: Mapping[str, Any]) -> Template:
    media = data.get("media")
    return Template(
        name=data["name"],
        language=data["language"],
        category=data.get("category", ""),
        header=tuple((name, value) for name, value in data.get("header", ())),
        media=OutboundMedia(
            Kind(media["kind"]), "", filename=media.get("filename", ""), url=media["url"]
        )
        if media
        else None,
        body=tuple((name, value) for name, value in data.get("body", ())),
        buttons=tuple(
            TemplateButton(item["index"], ButtonKind(item["kind"]), item["value"])
            for item in data.get("buttons", ())
        ),
    )


def location_json(location: Location) -> dict[str, Any]:
    data: dict[str, Any] = {"latitude": location.latitude, "longitude": location.longitude}
    if location.name:
        data["name"] = location.name
    if location.address:
        data["address"] = location.address
    return data


def _choice(data: dict[str, str]) -> Choice:
    return Choice(data["id"], data["title"], data.get("description", ""))


def _carousel_card(data: dict[str, Any]) -> CarouselCard:
    actions = tuple(
        CardAction(ActionKind(item["kind"]), item["title"], item.get("url", ""), item.get("id", ""))
        for item in data.get("actions", ())
    )
    return CarouselCard(
        data["title"], data.get("description", ""), data.get("image_url", ""), actions
    )


def _field(data: dict[str, Any]) -> FormField:
    options = tuple(_choice(option) for option in data.get("options", ()))
    return FormField(**{**data, "type": FieldType(data["type"]), "options": options})


def _input(data: dict[str, str]) -> Input:
    return Input(FieldType(data["type"]), data.get("placeholder", ""))


def _said(part: object, *optional: str, **always: Any) -> dict[str, Any]:
    """What always stands there, and of `optional` what is not empty."""
    return always | {name: value for name in optional if (value := getattr(part, name))}


def _media(attachment: Attachment) -> OutboundMedia:
    return OutboundMedia(
        kind=Kind(attachment.kind),
        mime=attachment.mime,
        filename=attachment.filename,
        path=attachment.path,
        url=attachment.remote_ref if not attachment.path else "",
        size=attachment.size,
    )
