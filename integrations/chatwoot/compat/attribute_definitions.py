"""What the account knows of its attributes: their custom attribute definitions."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from conversations import services
from conversations.models import AttributeDefinition
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.base import CompatView, P, nothing
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import invalid
from integrations.chatwoot.shapes.parts import Json, iso

Kind, Of = AttributeDefinition.Kind, AttributeDefinition.Of

# In the order of their numbers, which they take as well. We have one kind of number.
TYPES = {
    "text": Kind.TEXT,
    "number": Kind.NUMBER,
    "currency": Kind.NUMBER,
    "percent": Kind.NUMBER,
    "link": Kind.LINK,
    "date": Kind.DATE,
    "list": Kind.LIST,
    "checkbox": Kind.CHECKBOX,
}
MODELS = {"conversation_attribute": Of.CONVERSATION, "contact_attribute": Of.CONTACT}
TEXTS = {"name": "attribute_display_name", "description": "attribute_description"}
# What is not kept, and would be missed.
NOT_KEPT = ("regex_pattern", "default_value")
MAX_VALUES = 200


class DefinitionView(CompatView):
    field_names: ClassVar[dict[str, str]] = {
        **TEXTS,
        "key": "attribute_key",
        "kind": "attribute_display_type",
        "values": "attribute_values",
    }

    def definition(self, pk: str) -> AttributeDefinition:
        found: AttributeDefinition = self.find(AttributeDefinition.objects.all(), pk=int(pk))
        return found

    def asked(self) -> Params:
        """The request, bare or inside `custom_attribute_definition`."""
        return params.inside(self.params, "custom_attribute_definition")

    def given(self) -> dict[str, Any]:
        """What it says of an attribute, under our names. Raises 422."""
        given = self.asked()
        for name in NOT_KEPT:
            if given.get(name) not in (None, ""):
                raise invalid(name, _("This is not kept here."))
        said: dict[str, Any] = {
            ours: params.text(given, theirs, most=120 if ours == "name" else 250)
            for ours, theirs in TEXTS.items()
            if given.get(theirs) is not None
        }
        if kind := word(given, "attribute_display_type", TYPES):
            said["kind"] = TYPES[kind]
        if given.get("attribute_values") is not None:
            said["values"] = params.texts(given, "attribute_values", most=250, count=MAX_VALUES)
        return said


class Definitions(DefinitionView):
    """`/custom_attribute_definitions`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONFIG_READ,
        "post": P.CONFIG_WRITE,
    }

    def get(self, request: Request) -> Response:
        """All of them, or those of `attribute_model`."""
        rows = AttributeDefinition.objects.order_by("pk")
        if model := word(self.params, "attribute_model", MODELS):
            rows = rows.filter(of=MODELS[model])
        return Response([definition_json(one) for one in rows])

    def post(self, request: Request) -> Response:
        asked = self.asked()
        model = word(asked, "attribute_model", MODELS) or "conversation_attribute"
        key = params.text(asked, "attribute_key")
        given = {"name": "", **self.given()}
        made = services.define_attribute(of=MODELS[model], key=key, by=self.member, **given)
        return Response(definition_json(made))


class OneDefinition(DefinitionView):
    """`/custom_attribute_definitions/{id}`"""

    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "get": P.CONFIG_READ,
        "patch": P.CONFIG_WRITE,
        "put": P.CONFIG_WRITE,
        "delete": P.CONFIG_WRITE,
    }

    def get(self, request: Request, definition_id: str) -> Response:
        return Response(definition_json(self.definition(definition_id)))

    def patch(self, request: Request, definition_id: str) -> Response:
        """Everything but what it is an attribute of, and its key."""
        definition, asked = self.definition(definition_id), self.asked()
        self._check_same(asked, "attribute_key", definition.key)
        model = word(asked, "attribute_model", MODELS)
        if model and MODELS[model] != definition.of:
            raise invalid("attribute_model", _("This cannot be changed."))
        changed = services.update_definition(definition, by=self.member, **self.given())
        return Response(definition_json(changed))

    put = patch

    def delete(self, request: Request, definition_id: str) -> Response:
        """Its values stay where they are."""
        services.delete_definition(self.definition(definition_id), by=self.member)
        return nothing()

    def _check_same(self, asked: Params, name: str, value: str) -> None:
        if params.text(asked, name, value) != value:
            raise invalid(name, _("This cannot be changed."))


def word(given: Params, name: str, known: dict[str, Any]) -> str:
    """One of `known`, by its name or its number in their list; empty where it is not given."""
    number = params.as_number(given.get(name))
    if number is not None and number < len(known):
        return list(known)[number]
    return params.choice(given, name, known)


def definition_json(definition: AttributeDefinition) -> Json:
    return {
        "id": definition.pk,
        "attribute_display_name": definition.name,
        "attribute_display_type": str(definition.kind),
        "attribute_description": definition.description or None,
        "attribute_key": definition.key,
        "regex_pattern": None,
        "regex_cue": None,
        "attribute_values": definition.values,
        "attribute_model": f"{definition.of}_attribute",
        "default_value": None,
        "created_at": iso(definition.created_at),
        "updated_at": iso(definition.updated_at),
    }
