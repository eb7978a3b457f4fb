"""`/v1/`: the later answer."""

from __future__ import annotations

from django.urls import re_path

from integrations.native.api import AnswerViewSet

urlpatterns = [
    re_path(
        r"^v1/conversations/(?P<conversation_id>[A-Za-z0-9_]{1,80})/actions/?$",
        AnswerViewSet.as_view({"post": "create"}),
        name="api-answer",
    ),
]
