"""Displays and the page: what they show is what was computed, and it needs nothing else."""

import dataclasses
import html.parser
import re

import matplotlib
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

matplotlib.use("Agg")

from matplotlib import pyplot

from skfakespotter import ExplanationDisplay, explain, load_detector
from skfakespotter.explanation import write_report
from skfakespotter.explanation._drawing import draw_p_values, paint_map


def test_display():
    found = explain("stylegan", astronaut())
    display = ExplanationDisplay(found).plot()
    bars = [patch.get_width() for patch in display.axes_[1].patches]
    np.testing.assert_allclose(bars, list(found.layers.values()))
    drawn = display.axes_[0].images[-1]
    np.testing.assert_array_equal(drawn.get_array(), found.map)
    low, high = drawn.get_clim()
    assert -low == high == pytest.approx(np.abs(found.map).max())  # symmetric about zero
    hidden = ExplanationDisplay(found).plot(show_face=False)
    assert len(hidden.axes_[0].images) == 1
    pyplot.close("all")


def test_painted_map_is_orange_where_it_looks_fake():
    found = explain("stylegan", astronaut())
    painted = paint_map(found).astype(int)
    assert painted.shape == found.crop.shape
    redder = painted[..., 0] - painted[..., 2]
    fake, real = (divmod(int(at), 75) for at in (found.map.argmax(), found.map.argmin()))
    assert redder[2 * fake[0], 2 * fake[1]] > redder[2 * real[0], 2 * real[1]] + 30


def test_p_values_stand_on_their_side_of_the_line():
    chart = draw_p_values([("A", 0.001), ("B", 0.5)], 0.01)
    small, large = (float(x) for x in re.findall(r'<circle cx="([\d.]+)"', chart))
    (line,) = re.findall(r'<line x1="([\d.]+)"[^>]*dasharray', chart)
    assert large < float(line) < small


class Reader(html.parser.HTMLParser):
    """Collects tags and their attributes; fails on a tag that is not closed."""

    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(tmp_path):
    Image.fromarray(astronaut()).save(tmp_path / 'a<b>&"c".png')
    (tmp_path / "d.png").write_text("broken")
    rows = write_report(tmp_path, tmp_path / "report.html", ["stylegan"])
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    names = [tag for tag, _ in reader.tags]
    assert "script" not in names
    assert "link" not in names
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    images = [attrs for tag, attrs in reader.tags if tag == "img"]
    assert images
    assert all(attrs["alt"] and attrs["src"].startswith("data:image/") for attrs in images)
    assert "a&lt;b&gt;&amp;&quot;c&quot;.png" in text
    assert "a<b>" not in text
    assert [row.status for row in rows] == ["scored", "unreadable"]
    assert "no trace of the families these detectors know" in text
    assert "cannot be read as a picture" in text
    assert text.count("<h1>") == 1


@pytest.mark.parametrize(("single", "shown"), [(0.8, True), (0.5, False), (None, False)])
def test_the_map_of_one_picture_is_shown_where_it_is_worth_it(tmp_path, single, shown):
    measured = {} if single is None else {"localization": {"single": single, "average": 0.9}}
    detector = dataclasses.replace(load_detector("stylegan"), card=measured)
    write_report([astronaut()], tmp_path / "report.html", detector)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("Map of the evidence over the face" in text) == shown
    told = "has not been measured" if single is None else f"{single:.2f} (0.5 is guessing)"
    assert told in text
    if single is not None:
        assert "pixel AUC 0.80 for one picture" in str(detector) or not shown
