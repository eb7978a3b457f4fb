"""The Django half of the one port; `/live/` and `/hooks/` never get here (config/asgi.py).

Each room names its full paths in its own `urls.py`; nothing here knows them.
"""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.utils.module_loading import module_has_submodule

from config import health, login_link, metrics

ROOMS = ("config", "accounts", "conversations", "agents", "integrations")


def room_urls() -> list[URLPattern | URLResolver]:
    """Every installed room's and platform's `urls`, in the order of INSTALLED_APPS."""
    return [
        path("", include(f"{app.name}.urls"))
        for app in apps.get_app_configs()
        if app.name.split(".")[0] in ROOMS
        and app.name != "config"
        and module_has_submodule(app.module, "urls")
    ]


urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz),
    path("healthz/", health.healthz),
    path("readyz", health.readyz),
    path("readyz/", health.readyz),
    path("metrics", metrics.metrics),
    path("login/link/<str:token>/", login_link.view, name="login_link"),
    path("admin/", admin.site.urls),
    *room_urls(),
]

handler404 = "config.problems.not_found"
handler500 = "config.problems.server_error"
