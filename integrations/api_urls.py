"""`/v1/`: inboxes and platforms."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from integrations import api

router = SimpleRouter(trailing_slash="/?")  # type: ignore[arg-type]  # a pattern works too
router.register("inboxes", api.InboxViewSet, "api-inboxes")
router.register("platforms", api.PlatformViewSet, "api-platforms")

urlpatterns = [path("v1/", include(router.urls))]
