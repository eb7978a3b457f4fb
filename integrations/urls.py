"""What the connected world needs from Django; hook doors and streams are beside it (config/asgi.py)."""

from __future__ import annotations

from django.urls import include, path

from integrations import callbacks, knocking, media, testing, tickets, views
from integrations.tracing import views as tracing

urlpatterns = [
    path("", include("integrations.api_urls")),
    path("api/callback/<str:token>", callbacks.CallbackView.as_view(), name="callback"),
    path("live-ticket/", tickets.renew, name="live_ticket"),
    path("media/<str:signed>", media.serve, name="media"),
    path("setup/", views.setup, name="setup"),
    path("trace/", tracing.search, name="trace"),
    path("attention/", views.needs_attention, name="attention"),
    path("attention/dismiss/", views.dismiss_attention, name="dismiss_attention"),
    path("agents/<str:public_id>/reach/", knocking.address_test, name="test_address"),
    path("agents/<str:public_id>/test/", testing.chat, name="test_agent"),
    path("agents/<str:public_id>/test/say/", testing.say_as_customer, name="test_say"),
    path("agents/<str:public_id>/test/new/", testing.start_over, name="test_start_over"),
    path("inboxes/", views.inboxes, name="inboxes"),
    path("inboxes/connect/", views.choose, name="choose_platform"),
    path("inboxes/connect/<slug:platform>/", views.connect, name="connect_inbox"),
    path("inboxes/<str:public_id>/", views.inbox_settings, name="inbox_settings"),
    path("inboxes/<str:public_id>/change/", views.change, name="change_inbox"),
    path("inboxes/<str:public_id>/switch/", views.switch, name="switch_inbox"),
    path("inboxes/<str:public_id>/remove/", views.remove, name="remove_inbox"),
    path("inboxes/<str:public_id>/rotate/", views.rotate, name="rotate_address"),
    path("inboxes/<str:public_id>/test/", views.check, name="check_inbox"),
    path("inboxes/<str:public_id>/test/state/", views.check_state, name="check_state"),
]
