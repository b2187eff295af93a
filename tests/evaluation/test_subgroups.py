"""Figures by subgroup: against detection_report on the parts, and resamples by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from skfakespotter import detection_report, picture_attributes
from skfakespotter.evaluation import FIGURES, SubgroupReport
from skfakespotter.evaluation._subgroups import label_values
from skfakespotter.faces import Face, FaceRecord


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 240)
    score = 1 / (1 + np.exp(-rng.normal(2 * y - 1)))
    return y, score, rng.choice(["inside", "outside"], 240)


def same(figures, report):
    return [figures[name].value for name in FIGURES] == pytest.approx(
        [report[name].value for name in FIGURES]
    )


def test_each_subgroup_is_reported_as_if_it_were_alone(scored):
    y, score, place = scored
    report = detection_report(y, score, by=place, n_bootstraps=0)
    assert isinstance(report, SubgroupReport)
    assert same(report.overall.figures, detection_report(y, score, n_bootstraps=0))
    for name in ("inside", "outside"):
        here, elsewhere = place == name, place != name
        one = report["by", name]
        alone = detection_report(y[here], score[here], n_bootstraps=0)
        assert same(one.figures, alone)
        assert (one.n_real, one.n_fake, one.shared) == (sum(y[here] == 0), sum(y[here]), "")
        others = roc_auc_score(y[elsewhere], score[elsewhere])
        assert one.gaps["AUC"].value == pytest.approx(one.figures["AUC"].value - others)
        assert np.isnan(one.gaps["AUC"].low)


def test_a_generator_is_measured_against_all_real_items(scored):
    y, score, _ = scored
    generator = np.where(y == 0, "camera", np.where(np.arange(240) % 2, "gan", "diffusion"))
    report = detection_report(y, score, by={"generator": generator}, n_bootstraps=0)
    gan = report["generator", "gan"]
    part = (y == 0) | (generator == "gan")
    assert gan.shared == "real"
    assert gan.n_fake == sum(generator == "gan")
    assert gan.figures["AUC"].value == pytest.approx(roc_auc_score(y[part], score[part]))
    camera = report["generator", "camera"]
    assert camera.shared == "fake"
    assert camera.figures["FPR"] == report.overall["FPR"] or np.isnan(camera.figures["FPR"].low)
    assert camera.gaps["FPR"].value == 0  # the others have no reals but these


def test_intervals_are_of_the_same_resamples(scored):
    """All items of a group are drawn together, so the gap of a copy to itself has no width."""
    y, score, _ = scored
    twice = np.tile(["a", "b"], 240)
    report = detection_report(
        np.repeat(y, 2),
        np.repeat(score, 2),
        groups=np.repeat(np.arange(240), 2),
        by=twice,
        n_bootstraps=50,
    )
    for name in ("a", "b"):
        assert report["by", name].gaps["AUC"] == (0, 0, 0)
        figures = report["by", name].figures["AUC"]
        assert figures == pytest.approx(report.overall["AUC"])
        assert figures.low < figures.value < figures.high


def test_a_subgroup_that_errs_more_has_a_gap_beyond_chance(scored):
    y, score, place = scored
    worse = score.copy()
    worse[place == "outside"] = np.random.default_rng(1).random(sum(place == "outside"))
    report = detection_report(y, worse, by={"place": place}, n_bootstraps=200)
    gap = report["place", "outside"].gaps["AUC"]
    assert gap.high < 0
    lowest, highest = report.extremes("AUC")
    assert (lowest.value, highest.value) == ("outside", "inside")
    assert repr(report).startswith("SubgroupReport(n_subgroups=2, AUC=0.")
    line = next(line for line in str(report).splitlines() if line.startswith("place outside"))
    assert f"AUC {lowest.figures['AUC'].value:.3f} [{gap.low:+.3f}, {gap.high:+.3f}]" in line
    frame = report.to_frame()
    assert len(frame) == 2 * len(FIGURES)
    row = frame[(frame.subgroup == "outside") & (frame.figure == "AUC")].iloc[0]
    assert tuple(row[["gap", "gap_low", "gap_high"]]) == gap
    with pytest.raises(KeyError, match=r"expected \(attribute, value\) of place=inside, place=out"):
        report["place", "under water"]


def test_many_numbers_are_cut_into_thirds():
    labels = label_values(np.array([*range(1, 13), None, np.nan], dtype=object))
    assert labels[:4] == ["under 4.67"] * 4
    assert labels[4:8] == ["4.67 to 8.33"] * 4
    assert labels[8:12] == ["over 8.33"] * 4
    assert labels[12:] == ["unknown"] * 2
    assert label_values(np.array([1, 2, 1], dtype=object)) == ["1", "2", "1"]
    assert label_values(np.array([True, False], dtype=object)) == ["True", "False"]


def test_order_of_thirds_is_that_of_their_numbers(scored):
    y, score, _ = scored
    report = detection_report(y, score, by={"width": np.arange(240.0) - 100}, n_bootstraps=0)
    assert [one.value for one in report.subgroups] == [
        "under -20.3",
        "-20.3 to 59.3",
        "over 59.3",
    ]


def test_refuses(scored):
    y, score, place = scored
    with pytest.raises(ValueError, match="by: 'place' is 'here' for every item"):
        detection_report(y, score, by={"place": ["here"] * 240}, n_bootstraps=0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        detection_report(y, score, by=place[:-1], n_bootstraps=0)


def test_attributes_of_a_face_by_hand():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 20:50] = (10, 20, 30)
    eyes_and_nose = ((25.0, 15.0), (30.0, 15.0), (45.0, 15.0), (40.0, 15.0), (38.0, 22.0))
    records = [
        FaceRecord(0, None, "found", (Face((20.0, 10.0, 50.0, 30.0), eyes_and_nose, 1.0),)),
        FaceRecord(1, None, "missing"),
    ]
    found = picture_attributes([image, image], records)
    assert found["face_width"][0] == 30
    assert found["brightness"][0] == pytest.approx(10 * 0.299 + 20 * 0.587 + 30 * 0.114)
    assert found["sharpness"][0] == 0
    assert found["turn"][0] == pytest.approx(3 / 20)  # the nose at 38, the middle at 35
    assert all(np.isnan(column[1]) for column in found.values())
    whole = picture_attributes([image])
    assert set(whole) == {"face_width", "brightness", "sharpness"}
    assert whole["face_width"][0] == 60
    assert whole["sharpness"][0] > 1
    turned = picture_attributes([np.rot90(image)], records[1:])  # no face: nothing is measured
    assert np.isnan(turned["brightness"][0])


def test_turn_does_not_depend_on_the_head_being_upright():
    points = np.array([[25, 15], [30, 15], [45, 15], [40, 15], [38, 22]], float)
    rotation = np.array([[0.8, -0.6], [0.6, 0.8]])
    image = np.zeros((40, 60, 3), np.uint8)
    of_centers = points[[0, 2, 4, 1, 3]]  # eye, eye and nose come first
    for scheme, order in (("eye corners", points), ("centers", of_centers)):
        landmarks = tuple(map(tuple, order @ rotation))
        record = FaceRecord(0, None, "found", (Face((0, 0, 20, 20), landmarks, 1.0, scheme),))
        assert picture_attributes([image], [record])["turn"][0] == pytest.approx(3 / 20)
