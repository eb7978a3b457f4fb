"""`/v1/`: inboxes, platforms and traces."""

from __future__ import annotations

from django.urls import include, path

from accounts.rest.routes import Router
from integrations import api

router = Router()
router.register("inboxes", api.InboxViewSet, "api-inboxes")
router.register("platforms", api.PlatformViewSet, "api-platforms")
router.register("trace", api.TraceViewSet, "api-trace")

urlpatterns = [path("v1/", include(router.urls))]
