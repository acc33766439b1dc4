"""The supervisor's own log: text for people or one JSON object a line, on stderr."""

import json
import logging
import sys
import time

TRACE = 5
"""Below debug: the only level at which prompts may be logged."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `at` (wall-clock seconds), `level`, `logger`, `message`, and `error` with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, object] = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up_logging(level: str, style: str) -> None:
    """Send the `infsup` loggers to stderr; `level` and `style` as in the `[log]` table."""
    logging.addLevelName(TRACE, "TRACE")
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonFormatter())
    else:
        formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    logger = logging.getLogger("infsup")
    logger.handlers[:] = [handler]
    logger.setLevel(TRACE if level == "trace" else level.upper())
    logger.propagate = False
