"""The desk's pages."""

from __future__ import annotations

from django.urls import path

from conversations import ui

urlpatterns = [
    path("ui/", ui.page, name="ui"),
]
