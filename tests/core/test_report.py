from html.parser import HTMLParser

import pytest
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.version import SOFTWARE
from instageo_plugin.core.report import Color, Page
from matplotlib.figure import Figure


class Cells(HTMLParser):
    """Text and class of every table cell."""

    def __init__(self):
        super().__init__()
        self.cells, self._inside = [], False

    def handle_starttag(self, tag, attrs):
        if tag == "td":
            self._inside = True
            self.cells.append(["", dict(attrs).get("class")])

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "td"

    def handle_data(self, data):
        if self._inside:
            self.cells[-1][0] += data


def cells(page):
    parser = Cells()
    parser.feed(page.html())
    return parser.cells


def test_numbers_are_right_aligned_and_rounded():
    page = Page("Figures")
    page.table(("a", "b", "c", "d"), [(0.123456, 1234567, "text", None)], caption="All kinds")
    assert cells(page) == [["0.1235", "number"], ["1 234 567", "number"], ["text", None], ["", None]]
    assert "<caption>All kinds</caption>" in page.html()


def test_what_users_wrote_is_escaped():
    page = Page("<b>title</b>")
    page.heading("<h>")
    page.text("a < b & c")
    page.warning("<script>")
    page.facts({"<name>": "<value>"})
    html = page.html()
    for raw in ("<b>", "<h>", "<script>", "<name>", "<value>"):
        assert raw not in html
    assert "a &lt; b &amp; c" in html


def test_a_color_is_a_swatch():
    page = Page("Classes")
    page.table(("", "class"), [(Color("#009e73"), "forest")])
    assert 'style="background: #009e73"' in page.html()


def test_a_figure_stands_inline_and_is_described():
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1], [1, 0])
    page = Page("Curve")
    page.figure(figure, 'a "falling" line')
    html = page.html()
    assert html.count("<svg") == 1
    assert "<?xml" not in html
    assert 'aria-label="a &#34;falling&#34; line"' in html


def test_the_page_is_written_whole_and_names_the_software(tmp_path):
    path = tmp_path / "new folder" / "report.html"
    Page("Report").write(path)
    assert SOFTWARE in path.read_text(encoding="utf-8")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InstaGeoError, match="cannot be made"):
        Page("Report").write(tmp_path / "file" / "report.html")
