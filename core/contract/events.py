"""The lines that worker and runner exchange: one JSON object a line, protocol version in `hello`.

Runner to worker (stdin): a `request` first, then perhaps `cancel`; the end of the stream means the runner is gone.
Worker to runner (the saved stdout): `hello`, then `progress`, `log`, `metric`, `artifact` in any number, and last
either `result` or `error`.
"""

from __future__ import annotations

import json
from typing import Any, Optional

PROTOCOL_VERSION = 1

HELLO = "hello"
PROGRESS = "progress"
LOG = "log"
METRIC = "metric"
ARTIFACT = "artifact"
RESULT = "result"
ERROR = "error"
KINDS = (HELLO, PROGRESS, LOG, METRIC, ARTIFACT, RESULT, ERROR)

REQUEST = "request"
CANCEL = "cancel"

LOG_LEVELS = ("debug", "info", "warning", "error")


def encode(event: str, **fields: Any) -> str:
    """One line, without its newline; numbers that JSON lacks (NaN, infinity) are refused."""
    return json.dumps({"event": event, **fields}, ensure_ascii=True, allow_nan=False)


def decode(line: str) -> Optional[dict[str, Any]]:
    """The event a line holds, or None for a foreign line (a library's print, a warning)."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("event") not in KINDS:
        return None
    return event


def decode_command(line: str) -> Optional[dict[str, Any]]:
    """The command a line on the worker's stdin holds, or None for a foreign line."""
    try:
        command = json.loads(line)
    except ValueError:
        return None
    if not isinstance(command, dict) or command.get("event") not in (REQUEST, CANCEL):
        return None
    return command
