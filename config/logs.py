"""The log filter: nothing secret and nobody's words reach a log line (SX-90)."""

from __future__ import annotations

import logging
from contextvars import ContextVar

from accounts.redaction import redact

request_id: ContextVar[str] = ContextVar("request_id", default="-")
_formatter = logging.Formatter()


class RedactFilter(logging.Filter):
    """Redacts message and traceback of every record, and adds the id of the request it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = ()
        if record.exc_info:
            # The formatter prints `exc_text` when it is there, so the bare traceback never appears.
            record.exc_text = redact(_formatter.formatException(record.exc_info))
        record.request_id = request_id.get()
        return True
