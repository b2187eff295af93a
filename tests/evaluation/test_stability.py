"""stability: scores of one attacked picture, against asking the detector by hand."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from skfakespotter import Border, GaussianBlur, ImageError, Resize, stability
from skfakespotter.evaluation import soft_method
from skfakespotter.images import check_images, load_image


class Brightness(ClassifierMixin, BaseEstimator):
    """P(fake) is the mean level over 255; a picture of other than 20 x 20 shows no face."""

    def __init__(self, classes=(0, 1), sizes=(20,)):
        self.classes = classes
        self.sizes = sizes
        self.classes_ = np.array(classes)

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        pictures = [load_image(picture) for picture in check_images(X)]
        for index, picture in enumerate(pictures):
            if len(picture) not in self.sizes:
                raise ImageError("holds no face", index)
        fake = np.array([picture.mean() / 255 for picture in pictures])
        columns = np.column_stack([1 - fake, fake])
        return columns if self.classes[1] in (1, "fake") else columns[:, ::-1]


PICTURE = np.full((20, 20, 3), 102, np.uint8)  # 0.4
ATTACKS = {"border": [(share, Border(share)) for share in (0.0, 0.1, 0.5)], "size": [Resize(0.5)]}
# a border of 2 pixels: (400 * 102 + 176 * 255) / 576; of 10: (400 * 102 + 1200 * 255) / 1600
BORDERED = [(400 * 102 + 176 * 255) / 576 / 255, (400 * 102 + 1200 * 255) / 1600 / 255]


@pytest.mark.parametrize("classes", [(0, 1), ("fake", "real")])
def test_scores_and_changes_by_hand(classes):
    result = stability(Brightness(classes, (20, 24, 40)), PICTURE, attacks=ATTACKS)
    assert result.score == pytest.approx(0.4)
    np.testing.assert_allclose(result.scores, [0.4, *BORDERED, 0.4])
    assert not result.called_fake
    assert result.changes == [("border", 0.1), ("border", 0.5)]
    assert result.share_kept == 0.5
    assert result.interval == pytest.approx((0.4, BORDERED[1]))
    assert "score=0.400, interval=(0.400, 0.850), share_kept=0.500" in repr(result)
    frame = result.to_frame()
    assert frame["attack"].tolist() == ["border"] * 3 + ["size"]
    assert frame["intensity"].tolist() == [0.0, 0.1, 0.5, 0.5]


def test_threshold_of_the_users_own():
    result = stability(Brightness((0, 1), (20, 24, 40)), PICTURE, attacks=ATTACKS, threshold=0.3)
    assert result.called_fake
    assert (result.changes, result.share_kept) == ([], 1)


def test_what_cannot_be_scored_is_not_made_up():
    result = stability(Brightness(), PICTURE, attacks=ATTACKS)
    np.testing.assert_allclose(result.scores, [0.4, np.nan, np.nan, 0.4])
    assert result.notes == ["", "holds no face", "holds no face", ""]
    assert (result.changes, result.share_kept) == ([], 1)
    with pytest.raises(ImageError, match="holds no face"):
        stability(Brightness(sizes=(9,)), PICTURE, attacks=ATTACKS)


def test_all_attacks_are_tried_and_drawn():
    result = stability(Brightness(sizes=range(100)), PICTURE)
    assert len(result.attacks) == 12 * 5
    assert len(result.plot(name="brightness").axes_) == 12


def test_refuses():
    with pytest.raises(ValueError, match="'attacks' parameter of stability must be"):
        stability(Brightness(), PICTURE, attacks=[GaussianBlur()])
    with pytest.raises(TypeError, match="Border has neither predict_proba nor"):
        soft_method(Border())
