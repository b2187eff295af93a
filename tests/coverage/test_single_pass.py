"""Training pictures cross the network once, are read once, and have the same counts."""

import sys
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from skfakespotter import FaceAligner, NeuronCoverageTransformer, load_backbone, make_pictures
from skfakespotter.cache import CoverageCache
from skfakespotter.cache._contents import stable_draw
from skfakespotter.coverage import DirectStatistics, ExactSums, SinglePassStatistics, threshold
from skfakespotter.coverage._kernels import _count_places


@pytest.fixture(scope="module")
def pictures():
    return make_pictures(60, random_state=0)[0]


@pytest.fixture
def direct():
    backbone = load_backbone("toy_image")
    return DirectStatistics(backbone, (3, *(backbone.input_size or (64, 64))), batch_size=8)


@pytest.fixture
def passed(direct, monkeypatch):
    """Positions of the pictures that crossed the network, in turn."""
    seen = []
    observe, batches = DirectStatistics.observe, DirectStatistics.batches

    def observing(self, batch, window):
        seen.append(len(batch))
        return observe(self, batch, window)

    def batching(self, X, positions=None):
        for here, batch in batches(self, X, positions):
            seen_again.extend(here.tolist())
            yield here, batch

    seen_again = []
    monkeypatch.setattr(DirectStatistics, "observe", observing)
    monkeypatch.setattr(DirectStatistics, "batches", batching)
    return seen, seen_again


def as_table(parts, n):
    parts = list(parts)
    table = np.full((n, parts[0].values.shape[1]), np.nan)
    for part in parts:
        table[part.positions] = part.values
    return table


def learn(statistics, X):
    sums = as_table(statistics.sums(X), len(X))
    n_neurons = statistics.direct.neurons_per_threshold
    return sums, threshold(ExactSums(len(n_neurons)).add(sums), n_neurons)


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_sums_and_counts_are_the_networks_own(direct, pictures, granularity):
    once = SinglePassStatistics(direct)
    sums, xi = learn(once, pictures)
    np.testing.assert_array_equal(sums, as_table(direct.sums(pictures), 60))
    counts = as_table(once.counts(pictures, xi, granularity), 60)
    np.testing.assert_array_equal(counts, as_table(direct.counts(pictures, xi, granularity), 60))


def test_only_the_pilot_passes_twice(direct, pictures, passed):
    observed, fetched = passed
    once = SinglePassStatistics(direct)
    _, xi = learn(once, pictures)
    as_table(once.counts(pictures, xi, "layer"), 60)
    assert sorted(fetched) == list(range(60))  # none was decoded again, the pilot neither
    assert observed == [4, 4, 8, 8, 8, 8, 8, 8, 8]  # 6 % and at least 4, then as many as allowed


@pytest.mark.parametrize(("n_batches", "n_kept"), [(0, 4), (2, 20)])
def test_what_finds_no_room_passes_again(direct, pictures, passed, n_batches, n_kept):
    sizes = SinglePassStatistics(direct)
    list(sizes.sums(pictures))
    room = sum(found.nbytes for positions, found in sizes._kept[:n_batches])
    _, fetched = passed
    fetched.clear()
    once = SinglePassStatistics(direct, room)  # the batch that exceeds it is the last one kept
    _, xi = learn(once, pictures)
    counts = as_table(once.counts(pictures, xi, "channel"), 60)
    assert sorted(Counter(fetched).values()) == [1] * n_kept + [2] * (60 - n_kept)
    np.testing.assert_array_equal(counts, as_table(direct.counts(pictures, xi, "channel"), 60))


def test_far_thresholds_and_other_pictures_pass_again(direct, pictures):
    once = SinglePassStatistics(direct)
    _, xi = learn(once, pictures)
    for X, thresholds in ((pictures, xi + 10), (pictures, xi / 2), (pictures[:9], xi)):
        counts = as_table(once.counts(X, thresholds, "layer"), len(X))
        expected = as_table(direct.counts(X, thresholds, "layer"), len(X))
        np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_pictures(pictures, n):
    two = NeuronCoverageTransformer("toy_image", single_pass=False)
    one = NeuronCoverageTransformer("toy_image", single_pass=True)
    np.testing.assert_array_equal(one.fit_transform(pictures[:n]), two.fit_transform(pictures[:n]))
    np.testing.assert_array_equal(one.thresholds_, two.thresholds_)


@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 7, 600), (2, 5329, 3), (3, 300, 32), (1, 9, 64)])
def test_marks_of_a_channel_are_counted(shape):
    marks = np.random.default_rng(0).random(shape) < 0.9  # more than 255 of them
    np.testing.assert_array_equal(_count_places(marks), marks.sum(1))


OPENED: Counter = Counter()
_HOOKED: list[str] = []  # an audit hook stays until the process ends


def _audit(event, arguments):
    if event == "open" and _HOOKED and str(arguments[0]).startswith(_HOOKED[0]):
        OPENED[str(arguments[0])] += 1


sys.addaudithook(_audit)


@pytest.mark.parametrize("aligned", [False, True])
def test_files_are_read_once(pictures, tmp_path, aligned):
    paths = [str(tmp_path / f"{i}.png") for i in range(12)]
    for path, picture in zip(paths, pictures, strict=False):
        Image.fromarray(picture).save(path)
    X = paths
    if aligned:  # these show no face
        X = FaceAligner(on_missing="nan", lazy=True).transform(paths)
    coverage = NeuronCoverageTransformer("dlib" if aligned else "toy_image", single_pass=True)
    OPENED.clear()
    _HOOKED.append(str(tmp_path))
    try:
        if aligned:
            with pytest.raises(ValueError, match="none of the 12 pictures shows a face"):
                coverage.fit_transform(X)
        else:
            coverage.fit_transform(X)
    finally:
        _HOOKED.clear()
    assert dict(OPENED) == dict.fromkeys(paths, 1)


def test_a_row_of_nan_for_a_picture_without_a_face(pictures):
    from skimage.data import astronaut

    X = [astronaut(), pictures[0], astronaut()[:, ::-1].copy(), astronaut()[:300], astronaut()]
    X = FaceAligner(on_missing="nan", lazy=True).transform(X)
    one = NeuronCoverageTransformer(single_pass=True)
    with pytest.warns(UserWarning, match=r"1 pictures show no face, .*: X\[1\]\."):
        rows = one.fit_transform(X)
    assert np.isnan(rows).all(1).tolist() == [False, True, False, False, False]
    assert one.n_samples_seen_ == 4


@pytest.fixture
def faces_drawn_late():
    """Lazy faces, of which the pilot of a cache takes those that show none."""
    from skimage.data import astronaut

    photo = astronaut()
    blank = [np.full((96 + i, 96, 3), i, np.uint8) for i in range(12)]
    photos = [np.ascontiguousarray(photo[:, i : 400 + i]) for i in range(0, 100, 20)]
    photos = sorted(photos, key=lambda picture: stable_draw(picture, 0))[-2:]
    blank = [b for b in blank if stable_draw(b, 0) < stable_draw(photos[0], 0)][:4]
    assert len(blank) == 4
    return FaceAligner(on_missing="nan", lazy=True, device="cpu").transform([*blank, *photos])


@pytest.mark.filterwarnings("ignore:4 pictures show no face")
@pytest.mark.parametrize("options", [{}, {"cache": "memory"}, {"single_pass": False}])
def test_a_pilot_without_a_face(faces_drawn_late, options):
    if options.get("cache"):
        options = {"cache": CoverageCache()}
    coverage = NeuronCoverageTransformer("toy_image", **options)
    rows = coverage.fit_transform(faces_drawn_late)
    assert np.isnan(rows).all(1).tolist() == [True] * 4 + [False] * 2
    assert coverage.n_samples_seen_ == 2
    with pytest.raises(ValueError, match="none of the 4 pictures shows a face"):
        coverage.fit(faces_drawn_late[:4])


@pytest.mark.filterwarnings("ignore:4 pictures show no face")
def test_a_given_threshold_and_a_first_batch_without_a_face(faces_drawn_late):
    coverage = NeuronCoverageTransformer("toy_image", threshold=0.1, batch_size=2)
    assert np.isfinite(coverage.fit_transform(faces_drawn_late)).sum() == 2 * 3
    with pytest.raises(ValueError, match="none of the 4 pictures shows a face"):
        coverage.fit(faces_drawn_late[:4])


class Doubling(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.last = torch.nn.Conv2d(3, 4, 3), torch.nn.Identity()

    def forward(self, x):
        return self.last(self.conv(x).double().mean((2, 3)))


def test_outputs_in_float64_take_two_passes(pictures):
    coverage = NeuronCoverageTransformer(Doubling(), layers=["conv", "last"])
    expected = coverage.fit(pictures[:6]).transform(pictures[:6])
    np.testing.assert_array_equal(coverage.fit_transform(pictures[:6]), expected)
    with pytest.raises(ValueError, match=r"'last' gives torch.float64: a cache .* single pass"):
        coverage.set_params(single_pass=True).fit_transform(pictures[:6])


def test_maps_of_numbers_go_to_the_network_as_they_are():
    X = np.random.default_rng(0).standard_normal((6, 3, 20, 20)).astype(np.float32)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten())
    coverage = NeuronCoverageTransformer(network)
    rows = coverage.fit_transform(X)
    with torch.no_grad():
        outputs = network[0](torch.from_numpy(X)).numpy()
    expected = (outputs > outputs.mean()).sum((1, 2, 3))
    assert np.abs(rows[:, 0] - expected).max() <= 1
    np.testing.assert_array_equal(coverage.fit(X).transform(X), rows)
