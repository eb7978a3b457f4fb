"""Answers that DRF has no word for."""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response


class Null(Response):
    """200 with `null`, which is not the same as nothing at all."""

    @property
    def rendered_content(self) -> Any:
        self["Content-Type"] = "application/json"
        return b"null"
