"""Text for XML files."""

from __future__ import annotations

import re

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def in_xml(text: str) -> str:
    """`text` with a blank for each character that XML cannot hold (control characters, lone surrogates)."""
    return _NOT_IN_XML.sub(" ", text)
