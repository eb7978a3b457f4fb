"""What an account sets up."""

from __future__ import annotations

from conversations.models import Label
from integrations.chatwoot.shapes.parts import Json


def label_json(label: Label) -> Json:
    return {
        "id": label.pk,
        "title": label.name,
        "description": label.description or None,
        "color": label.shade,
        "show_on_sidebar": label.in_filters,
    }
