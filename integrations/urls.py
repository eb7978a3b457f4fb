"""What the connected world needs from Django; hook doors and streams are beside it (config/asgi.py)."""

from __future__ import annotations

from django.urls import path

from integrations import media, tickets

urlpatterns = [
    path("live-ticket/", tickets.renew, name="live_ticket"),
    path("media/<str:signed>", media.serve, name="media"),
]
