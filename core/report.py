"""Self-contained HTML pages: text, facts, tables and figures inline, nothing fetched, all values escaped."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from .contract.version import SOFTWARE
from .files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEMPLATE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<style>
body { font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 1.6em; }
table { border-collapse: collapse; margin: .6em 0; } caption { text-align: left; color: #555; padding-bottom: .3em; }
th, td { border: 1px solid #ccc; padding: .25em .6em; text-align: left; } td.number { text-align: right; }
.warning { border-left: 4px solid #d55e00; padding-left: .8em; } .swatch { display: inline-block; width: 1em;
height: 1em; border: 1px solid #888; vertical-align: middle; } footer { margin-top: 2em; color: #777; }
svg { max-width: 100%; height: auto; }
</style></head><body><h1>{{ title }}</h1>
{% for part in parts %}
{% if part.kind == "heading" %}<h2>{{ part.text }}</h2>
{% elif part.kind == "text" %}<p>{{ part.text }}</p>
{% elif part.kind == "warning" %}<p class="warning">{{ part.text }}</p>
{% elif part.kind == "table" %}<table>{% if part.caption %}<caption>{{ part.caption }}</caption>{% endif %}
{% if part.columns %}<tr>{% for column in part.columns %}<th>{{ column }}</th>{% endfor %}</tr>{% endif %}
{% for row in part.rows %}<tr>{% for cell in row %}{% if cell.color %}<td>
<span class="swatch" style="background: {{ cell.color }}"></span></td>{% else %}
<td{% if cell.number %} class="number"{% endif %}>{{ cell.text }}</td>{% endif %}{% endfor %}</tr>
{% endfor %}</table>
{% elif part.kind == "figure" %}<figure role="img" aria-label="{{ part.alt }}">{{ part.svg | safe }}</figure>
{% endif %}{% endfor %}
<footer>{{ software }}</footer></body></html>
"""


class Color(str):
    """A table cell shown as a swatch; the text is `#rrggbb`."""


class Page:
    """An HTML page built part by part."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[dict[str, Any]] = []

    def heading(self, text: str) -> None:
        self._parts.append({"kind": "heading", "text": text})

    def text(self, text: str) -> None:
        self._parts.append({"kind": "text", "text": text})

    def warning(self, text: str) -> None:
        self._parts.append({"kind": "warning", "text": text})

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
        """Numbers are right-aligned, fractions with four significant digits; `Color` cells become swatches."""
        cells = [[_cell(value) for value in row] for row in rows]
        self._parts.append({"kind": "table", "columns": columns, "rows": cells, "caption": caption})

    def facts(self, facts: Mapping[str, Any]) -> None:
        """A table of two columns, name and value."""
        self.table((), list(facts.items()))

    def figure(self, figure: Figure, alt: str) -> None:
        """A matplotlib figure as inline SVG; `alt` says in words what it shows."""
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
        svg = buffer.getvalue()
        self._parts.append({"kind": "figure", "svg": svg[svg.index("<svg") :], "alt": alt})

    def html(self) -> str:
        template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(_TEMPLATE)
        return template.render(title=self._title, parts=self._parts, software=SOFTWARE)

    def write(self, path: str | Path) -> None:
        """Write the page; raises `InstaGeoError` when the folder cannot be written."""
        with written_whole(path) as part:
            part.write_text(self.html(), encoding="utf-8")


def _cell(value: Any) -> dict[str, Any]:
    if isinstance(value, Color):
        return {"color": str(value)}
    if isinstance(value, float):
        return {"text": f"{value:.4g}", "number": True}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"text": f"{value:,}".replace(",", " "), "number": True}
    return {"text": "" if value is None else str(value)}
