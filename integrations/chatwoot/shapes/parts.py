"""What all shapes are made of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from integrations.payload import time_text as iso

__all__ = ["Json", "iso", "seconds"]

Json = dict[str, Any]


def seconds(moment: datetime | None) -> int:
    """0 stands for never."""
    return int(moment.timestamp()) if moment else 0
