"""Routes of REST resources."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter


class Router(SimpleRouter):
    """Answers with and without the trailing slash: a redirect would lose a POST's body."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"
