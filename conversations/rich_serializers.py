"""Shapes of what can be said beyond words, files and choices: offers, forms, asked values, articles."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework import serializers

from accounts.rest.fields import StrictSerializer
from conversations.messages import (
    ActionKind,
    CardAction,
    CarouselCard,
    Choice,
    FieldType,
    FormField,
)


def check_link(value: str) -> str:
    """An address that customers open; raises `ValidationError`."""
    if urlsplit(value).scheme not in ("https", "http"):
        raise serializers.ValidationError(_("An http or https address."))
    return value


def check_source(value: str) -> str:
    """An address that we fetch; raises `ValidationError`."""
    parts = urlsplit(value)
    schemes = ("https", "http") if settings.ALLOW_HTTP_TARGETS else ("https",)
    if parts.scheme not in schemes or "@" in parts.netloc:
        raise serializers.ValidationError(_("An https address without user name."))
    return value


class ActionSerializer(StrictSerializer):
    """`link` opens `url`; `postback` comes back as a choice with `id`."""

    kind = serializers.ChoiceField(choices=[kind.value for kind in ActionKind])
    title = serializers.CharField(max_length=250)
    url = serializers.URLField(max_length=2000, required=False)
    id = serializers.CharField(max_length=250, required=False)

    def validate_url(self, value: str) -> str:
        return check_link(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needed, other = ("url", "id") if attrs["kind"] == ActionKind.LINK else ("id", "url")
        if not attrs.get(needed):
            raise serializers.ValidationError({needed: _("This is needed here.")})
        if other in attrs:
            raise serializers.ValidationError({other: _("This is not for this kind of action.")})
        return attrs


class CarouselCardSerializer(StrictSerializer):
    """A product or an offer. We fetch its picture, under the same guard as every outgoing request."""

    title = serializers.CharField(max_length=250)
    description = serializers.CharField(max_length=1000, default="", allow_blank=True)
    image_url = serializers.URLField(max_length=2000, default="", allow_blank=True)
    actions = ActionSerializer(many=True, default=list, max_length=10)  # type: ignore[call-arg]  # of the list

    def validate_image_url(self, value: str) -> str:
        return check_source(value) if value else ""


class OptionSerializer(StrictSerializer):
    id = serializers.CharField(max_length=250)
    title = serializers.CharField(max_length=250)


class FormFieldSerializer(StrictSerializer):
    name = serializers.CharField(max_length=120)
    label = serializers.CharField(max_length=250, default="", allow_blank=True)  # type: ignore[assignment]  # the wire name
    type = serializers.ChoiceField(
        choices=[type_.value for type_ in FieldType], default=FieldType.TEXT.value
    )
    placeholder = serializers.CharField(max_length=250, default="", allow_blank=True)
    default = serializers.CharField(max_length=250, default="", allow_blank=True)
    required = serializers.BooleanField(default=False)  # type: ignore[assignment]  # the wire name
    pattern = serializers.CharField(max_length=500, default="", allow_blank=True)
    error = serializers.CharField(max_length=250, default="", allow_blank=True)
    options = OptionSerializer(many=True, required=False, allow_empty=False, max_length=50)  # type: ignore[call-arg]  # of the list

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["type"] == FieldType.SELECT) != ("options" in attrs):
            raise serializers.ValidationError(
                {"options": _("A select has options, and nothing else has.")}
            )
        return attrs


class InputSerializer(StrictSerializer):
    """One value that is asked for; the customer's next text that is one answers it."""

    type = serializers.ChoiceField(
        choices=[type_.value for type_ in FieldType if type_ is not FieldType.SELECT],
        default=FieldType.TEXT.value,
    )
    placeholder = serializers.CharField(max_length=250, default="", allow_blank=True)


class ArticleSerializer(StrictSerializer):
    title = serializers.CharField(max_length=250)
    description = serializers.CharField(max_length=1000, default="", allow_blank=True)
    link = serializers.URLField(max_length=2000)

    def validate_link(self, value: str) -> str:
        return check_link(value)


def carousel_card_of(card: dict[str, Any]) -> CarouselCard:
    actions = tuple(
        CardAction(**{**action, "kind": ActionKind(action["kind"])}) for action in card["actions"]
    )
    return CarouselCard(card["title"], card["description"], card["image_url"], actions)


def form_field_of(field: dict[str, Any]) -> FormField:
    options = tuple(Choice(**option) for option in field.get("options", ()))
    return FormField(**{**field, "type": FieldType(field["type"]), "options": options})
