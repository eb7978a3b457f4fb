"""Switchboard's own PostgreSQL: the binaries of a wheel under a starter of ours (design.md 5.2, 5.4)."""

from config.embedded.errors import StartError
from config.embedded.postgres import EmbeddedPostgres, Urls

__all__ = ["EmbeddedPostgres", "StartError", "Urls"]
