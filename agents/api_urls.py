"""`/v1/`: AI agents, rules and decisions."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from agents import api

router = SimpleRouter(trailing_slash="/?")  # type: ignore[arg-type]  # a pattern works too
router.register("agents", api.AgentViewSet, "api-agents")
router.register("rules", api.RuleViewSet, "api-rules")
router.register(
    r"conversations/(?P<conversation_id>[A-Za-z0-9_]{1,80})/decisions",
    api.DecisionViewSet,
    "api-decisions",
)

urlpatterns = [path("v1/", include(router.urls))]
