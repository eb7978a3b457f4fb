"""The platform registry: one manifest per platform, announced in its `AppConfig.ready`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents import dialects
from agents.dialects import Dialect
from conversations import channels
from conversations.channels import Channel

if TYPE_CHECKING:
    from conversations.models import Inbox


@dataclass(frozen=True, slots=True)
class DemoInbox:
    """How the demo account is connected to a platform (`manage.py demo`)."""

    name: str
    # Invented answers to the channel's connect form, asked for once.
    values: Callable[[], Mapping[str, Any]]
    # What a script needs to play this platform's part.
    facts: Callable[[Inbox], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Platform:
    """What one platform brings: up to three roles (design.md 2)."""

    slug: str
    name: str
    channel: Channel | None = None
    dialect: Dialect | None = None
    # Module path of the compat API's urlpatterns, mounted from the root.
    compat_urls: str = ""
    # Offered on the dashboard's "connect" page.
    connectable: bool = True
    demo: DemoInbox | None = None


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
