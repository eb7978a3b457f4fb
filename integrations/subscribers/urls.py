"""The webhooks of integrators: `/v1/webhooks/` and their pages in the settings."""

from __future__ import annotations

from django.urls import include, path

from accounts.rest.routes import Router
from integrations.subscribers import api, views

router = Router()
router.register("webhooks", api.WebhookViewSet, "api-webhooks")

urlpatterns = [
    path("v1/", include(router.urls)),
    path("settings/webhooks/", views.webhooks, name="webhooks"),
    path("settings/webhooks/new/", views.create, name="create_webhook"),
    path("settings/webhooks/<str:public_id>/", views.webhook, name="webhook"),
    path("settings/webhooks/<str:public_id>/change/", views.change, name="change_webhook"),
    path("settings/webhooks/<str:public_id>/secret/", views.secret, name="show_webhook_secret"),
    path("settings/webhooks/<str:public_id>/rotate/", views.rotate, name="rotate_webhook_secret"),
    path("settings/webhooks/<str:public_id>/test/", views.test, name="test_webhook"),
    path(
        "settings/webhooks/<str:public_id>/test/state/", views.test_state, name="webhook_test_state"
    ),
    path("settings/webhooks/<str:public_id>/switch/", views.switch, name="switch_webhook"),
    path("settings/webhooks/<str:public_id>/delete/", views.delete, name="delete_webhook"),
]
