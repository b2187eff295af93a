"""Several persons in a clip: whose faces a detector learns, and who decides."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from skfakespotter.faces import Face
from skfakespotter.video import Track
from skfakespotter.video._judging import Judge
from skfakespotter.video._reading import Clip
from skfakespotter.video._training import gather_items
from skfakespotter.video._windows import Windows

FRAMES = np.arange(6)
POINTS = ((0.0, 0.0),) * 5


def follow(number, width, gray, frames=range(6), score=0.9):
    """Return a track of square faces whose crops are gray."""
    faces = [Face((0.0, 0.0, width, width), POINTS, score, "centers") for _ in frames]
    crops = [np.full((2, 2, 3), gray, np.uint8) for _ in frames]
    return Track(number, [*frames], [frame / 10 for frame in frames], faces, crops)


def clip_of(*tracks):
    return Clip("a.mp4", "scored", frames=FRAMES, times=FRAMES / 10, tracks=tracks)


class Grayness(ClassifierMixin, BaseEstimator):
    """Says that white faces are fake."""

    classes_ = np.array([0, 1])

    def predict_proba(self, X):
        fake = np.array([crop.mean() / 255 for crop in X])
        return np.column_stack([1 - fake, fake])


def judge(*tracks, **options):
    options = {"min_width": 40, "windows": Windows(None, 3, 1, 1), **options}
    return Judge(Grayness(), 1, aggregate="mean", top_k=5, **options).judge(clip_of(*tracks))


@pytest.mark.parametrize(
    ("other", "grays"),
    [
        (follow(0, 40.0, 51), {102}),  # smaller
        (follow(0, 120.0, 51, range(2)), {102}),  # shorter than the least
        (follow(0, 95.0, 51, range(4)), {102}),  # wider, for a shorter time
        (follow(0, 90.0, 51, score=0.5), {102}),  # wider, and hardly a face
        (follow(0, 90.0, 51), {51}),
    ],
)
def test_a_detector_learns_the_main_person(other, grays):
    clips = [clip_of(other, follow(1, 80.0, 102))]
    items, of = gather_items([clips], Windows(None, 3, 1, 1), 1, "raise")
    assert {int(crop[0, 0, 0]) for crop in items} == grays
    assert of.tolist() == [0] * len(items)


def test_who_is_main_goes_by_what_can_be_cut():
    tracks = follow(0, 200.0, 51, range(2)), follow(1, 30.0, 102)
    items, _ = gather_items([[clip_of(*tracks)]], Windows(5, 3, 1, 1), 1, "raise")
    assert {int(crop[0, 0, 0]) for window in items for crop in window} == {102}


def test_a_small_face_does_not_decide_beside_a_large_one():
    scored = judge(follow(0, 30.0, 204), follow(1, 80.0, 51))
    assert (round(scored.score, 9), scored.decisive) == (0.2, 1)
    assert [track.may_decide for track in scored.tracks] == [False, True]
    assert [round(track.score, 9) for track in scored.tracks] == [0.8, 0.2]  # everybody is scored
    np.testing.assert_allclose(scored.frame_scores, 0.2)


def test_the_most_fake_of_those_who_may_decides():
    scored = judge(follow(0, 60.0, 204), follow(1, 80.0, 51))
    assert (round(scored.score, 9), scored.decisive) == (0.8, 0)
    np.testing.assert_allclose(scored.frame_scores, 0.8)
    assert judge(follow(0, 60.0, 204), follow(1, 80.0, 51), min_width=70).decisive == 1


def test_small_faces_decide_where_there_is_no_other():
    scored = judge(follow(0, 30.0, 204), follow(1, 20.0, 51))
    assert (round(scored.score, 9), scored.decisive) == (0.8, 0)


def test_a_wide_face_of_too_few_frames_does_not_decide():
    scored = judge(follow(0, 80.0, 204, range(2)), follow(1, 30.0, 51))
    assert (round(scored.score, 9), scored.decisive) == (0.2, 1)
