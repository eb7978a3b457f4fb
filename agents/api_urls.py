"""`/v1/`: AI agents, rules and decisions."""

from __future__ import annotations

from django.urls import include, path

from accounts.rest.routes import Router
from agents import api, replay_api

router = Router()
router.register("agents", api.AgentViewSet, "api-agents")
router.register("rules", api.RuleViewSet, "api-rules")
router.register(
    r"conversations/(?P<conversation_id>[A-Za-z0-9_]{1,80})/decisions",
    api.DecisionViewSet,
    "api-decisions",
)
router.register("deliveries", replay_api.DeliveryReplayViewSet, "api-delivery-replay")
router.register("endpoints", replay_api.EndpointReplayViewSet, "api-endpoint-replay")
router.register("replays", replay_api.ReplayViewSet, "api-replays")

urlpatterns = [path("v1/", include(router.urls))]
