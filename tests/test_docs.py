"""The Python in README and docs runs as it stands there, page by page, in a folder of pictures.

A block that cannot run here has a line `<!-- not run: WHY -->` before it.
"""

import os
import re
import runpy
from collections import Counter
from pathlib import Path

import joblib
import matplotlib
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import FaceAligner, load_coverage_sample

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- not run: .+? -->\n+)?^```python\n(.*?)^```", re.M | re.S)
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]


def blocks(page):
    text = (ROOT / page).read_text()
    for match in BLOCK.finditer(text):
        if not match[1]:
            line = text[: match.start(2)].count("\n")
            yield "\n" * line + match[2]  # errors then name the line of the page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make what the pages speak of: photographs and fakes of one face, from many sides."""
    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("docs")
    for kind in ("real", "fake"):
        (folder / "pictures" / kind).mkdir(parents=True)
    for i in range(10):  # groups enough for an interval
        picture = Image.fromarray(data.astronaut()[2 * i : 200 + 2 * i, 100 - i : 300 - i])
        picture = picture.point(lambda x, i=i: x * (0.8 + 0.02 * i))
        smooth = picture.resize((100, 100)).resize((200, 200), Image.Resampling.BILINEAR)
        picture.save(folder / "pictures" / "real" / f"{i:02d}.jpg", quality=90)
        smooth.save(folder / "pictures" / "fake" / f"{i:02d}.jpg", quality=90)
    picture.save(folder / "suspect.jpg")
    coverage = load_coverage_sample(pair="stylegan", split="test")
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    classifier.fit(coverage.data, coverage.target)
    steps = [FaceAligner(), coverage.transformer(), *[step for _, step in classifier.steps]]
    joblib.dump(make_pipeline(*steps), folder / "detector.joblib")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if list(blocks(page))])
def test_blocks_of_a_page_run(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = {"__name__": page}
    before = set(os.listdir(folder))
    for code in blocks(page):
        exec(compile(code, str(ROOT / page), "exec"), names)
    if page == "docs/start.md":
        assert "roc.pdf" in set(os.listdir(folder)) - before
        assert names["result"].report(n_bootstraps=0)["AUC"].value > 0.9
    if page == "docs/serve.md":
        check_service(names["app"], folder)


def check_service(app, folder):
    """Ask the service as a client would."""
    testclient = pytest.importorskip("fastapi.testclient")
    client = testclient.TestClient(app)
    answer = client.post("/score", content=(folder / "suspect.jpg").read_bytes())
    assert answer.status_code == 200
    assert 0 <= answer.json()["fake"] <= 1
    assert client.post("/score", content=b"no picture").status_code == 422
    black = folder / "black.png"
    Image.fromarray(np.zeros((200, 200, 3), np.uint8)).save(black)
    assert client.post("/score", content=black.read_bytes()).status_code == 422


def test_no_block_is_a_sketch():
    for page in PAGES:
        for code in blocks(page):
            assert "..." not in code.replace("...,", ""), page


def test_the_front_picture_is_drawn_from_committed_numbers(tmp_path, close_figures):
    """The command beside the picture draws what the picture shows, element by element."""
    target = tmp_path / "front.svg"
    with matplotlib.rc_context():
        runpy.run_path(str(ROOT / "docs" / "front.py"))["main"](target)
    drawn, shown = (
        Counter(re.findall(r"<(\w+)", path.read_text()))
        for path in (target, ROOT / "docs" / "_static" / "front.svg")
    )
    assert drawn == shown
    assert shown["image"] == 4  # three maps and the bar; a photograph would be one more


def test_every_test_that_reliability_names_exists():
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)((?:::\w+)*)`", text)
    assert len(named) > 40
    for file, place in named:
        source = (ROOT / file).read_text(encoding="utf-8")
        for name in place.split("::")[1:]:
            assert re.search(rf"^ *(def|class) {name}\b", source, re.M), (file, name)
    rows = [
        line for line in text.splitlines() if line.startswith("| ") and "What happens" not in line
    ]
    tables = text.split("## Files changed at random")[0]
    for row in (line for line in rows if line in tables):
        assert "`tests/" in row.rsplit("|", 2)[1], row  # nothing is promised without a test
