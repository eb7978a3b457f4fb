"""The platform registry: one manifest per platform, announced in its `AppConfig.ready`."""

from __future__ import annotations

from dataclasses import dataclass

from agents import dialects
from agents.dialects import Dialect
from conversations import channels
from conversations.channels import Channel


@dataclass(frozen=True, slots=True)
class Platform:
    """What one platform brings: up to three roles (design.md 2)."""

    slug: str
    name: str
    channel: Channel | None = None
    dialect: Dialect | None = None
    # Module path of the compat API's urlpatterns, mounted from the root.
    compat_urls: str = ""
    # Module path of the platform's own pages, mounted from the root (the sandbox phone).
    page_urls: str = ""
    # Offered on the dashboard's "connect" page.
    connectable: bool = True


_platforms: dict[str, Platform] = {}


def register(platform: Platform) -> None:
    """Called once from the platform's `AppConfig.ready`; fills both ports."""
    _platforms[platform.slug] = platform
    if platform.channel:
        channels.register(platform.channel)
    if platform.dialect:
        dialects.register(platform.dialect)


def all_platforms() -> list[Platform]:
    return list(_platforms.values())


def get(slug: str) -> Platform:
    """Raises `KeyError`."""
    return _platforms[slug]
