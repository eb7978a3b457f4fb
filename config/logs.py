"""Log lines: nothing secret and nobody's words reach one (SX-90); for people, or for machines (JSON)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from accounts.redaction import redact

request_id: ContextVar[str] = ContextVar("request_id", default="-")
_formatter = logging.Formatter()


class RedactFilter(logging.Filter):
    """Redacts message and traceback of every record, and adds the id of the request it belongs to.

    A line about an attempt (`ids`: integrations/courier/results.py) has nothing in it but ids, numbers
    and words of ours. There may be thousands in a second, and reading each for secrets would cost more
    than writing it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        if ids_of(record) is not None:
            return True
        record.msg = redact(record.getMessage())
        record.args = ()
        if record.exc_info:
            # The formatter prints `exc_text` when it is there, so the bare traceback never appears.
            record.exc_text = redact(_formatter.formatException(record.exc_info))
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line. What has `ids` gets a field for each of them."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        request = getattr(record, "request_id", "-")
        if request != "-":
            line["request"] = request
        ids = ids_of(record)
        if ids is None:
            line["message"] = record.getMessage()
        else:
            line |= {"message": record.msg.partition(" ")[0], **ids}
        if record.exc_text:
            line["traceback"] = record.exc_text
        elif record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def ids_of(record: logging.LogRecord) -> Mapping[str, Any] | None:
    """The fields of a line that is made of ids; None for every other line."""
    ids: Mapping[str, Any] | None = getattr(record, "ids", None)
    return ids
