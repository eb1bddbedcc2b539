"""The lines that worker and runner exchange: one JSON object a line, protocol version in `hello`.

Runner to worker (stdin): a `request` first, then perhaps `cancel`; the end of the stream means the runner is gone.
Worker to runner (the saved stdout): `hello`, then `progress`, `log`, `metric`, `artifact` in any number, and last
either `result` or `error`. While a job runs, the last `progress` is repeated at least every `HEARTBEAT_S` seconds.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, Optional

from .serial import to_plain

PROTOCOL_VERSION = 1
HEARTBEAT_S = 1.0

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
    """One line, without its newline; numbers that JSON lacks (NaN, infinity) become null."""
    return json.dumps({"event": event, **json_values(fields)}, ensure_ascii=True, allow_nan=False)


def json_values(value: Any) -> Any:
    """`value` in what JSON has: arrays and tuples as lists, paths as text, NaN and infinity as None."""
    plain = to_plain(value)
    if isinstance(plain, dict):
        return {name: json_values(item) for name, item in plain.items()}
    if isinstance(plain, list):
        return [json_values(item) for item in plain]
    if isinstance(plain, float):
        return float(plain) if math.isfinite(plain) else None
    if isinstance(plain, os.PathLike):
        return os.fspath(plain)
    if hasattr(plain, "tolist"):  # arrays, their scalars and tensors
        return json_values(plain.tolist())
    return plain


def decode(line: str) -> Optional[dict[str, Any]]:
    """The event a line holds, or None for a foreign line (a library's print, a warning)."""
    return _decoded(line, KINDS)


def decode_command(line: str) -> Optional[dict[str, Any]]:
    """The command a line on the worker's stdin holds, or None for a foreign line."""
    return _decoded(line, (REQUEST, CANCEL))


def _decoded(line: str, kinds: tuple[str, ...]) -> Optional[dict[str, Any]]:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("event") not in kinds:
        return None
    return event
