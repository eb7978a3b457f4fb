"""The pages of agents, deliveries and rules, with full paths."""

from __future__ import annotations

from django.urls import include, path

from agents.views import agents, deliveries, replays, rules

urlpatterns = [
    path("", include("agents.api_urls")),
    path("agents/", agents.agents, name="agents"),
    path("agents/new/", agents.create, name="create_agent"),
    path("agents/offered/<str:public_id>/", agents.take_in, name="take_in_agent"),
    path("agents/pause/", agents.pause_all, name="pause_all_agents"),
    path("agents/resume/", agents.resume_all, name="resume_all_agents"),
    path("agents/<str:public_id>/", agents.agent, name="agent"),
    path("agents/<str:public_id>/change/", agents.change, name="change_agent"),
    path("agents/<str:public_id>/secret/", agents.rotate_secret, name="rotate_agent_secret"),
    path("agents/<str:public_id>/token/", agents.rotate_token, name="rotate_agent_token"),
    path("agents/<str:public_id>/enable/", agents.enable, name="enable_agent"),
    path("agents/<str:public_id>/pause/", agents.pause, name="pause_agent"),
    path("agents/<str:public_id>/resume/", agents.resume, name="resume_agent"),
    path("agents/<str:public_id>/delete/", agents.delete, name="delete_agent"),
    path("agents/<str:public_id>/restore/", agents.restore, name="restore_agent"),
    path("deliveries/", deliveries.deliveries, name="deliveries"),
    path("deliveries/replay/", replays.replay_many, name="replay_many"),
    path("deliveries/<str:public_id>/", deliveries.delivery, name="delivery"),
    path("deliveries/<str:public_id>/replay/", replays.replay_delivery, name="replay_delivery"),
    path("replays/<str:public_id>/", replays.progress, name="replay_progress"),
    path("replays/<str:public_id>/cancel/", replays.cancel, name="cancel_replay"),
    path("rules/", rules.rules, name="rules"),
    path("rules/new/", rules.create, name="create_rule"),
    path("rules/<str:public_id>/", rules.rule, name="rule"),
    path("rules/<str:public_id>/change/", rules.change, name="change_rule"),
    path("rules/<str:public_id>/move/", rules.move, name="move_rule"),
    path("rules/<str:public_id>/switch/", rules.switch, name="switch_rule"),
    path("rules/<str:public_id>/delete/", rules.delete, name="delete_rule"),
]
