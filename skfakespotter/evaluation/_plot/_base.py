"""ScoreDisplay: what displays of scores have in common, from an estimator to its scores."""

from __future__ import annotations

from typing import Any, Self

from skfakespotter._labels import positive_label
from skfakespotter._typing import Items, Labels
from skfakespotter.evaluation._scoring import fake_response, soft_method


class ScoreDisplay:
    """A display of labels and scores; a subclass has ``from_predictions``."""

    @classmethod
    def from_predictions(cls, y_true: Labels, y_score: Any, **options: Any) -> Any:
        """Draw scores; each display says how."""
        raise NotImplementedError(f"{cls.__name__} has no from_predictions()")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Items,
        y: Labels,
        *,
        pos_label: Any = None,
        name: str | None = None,
        **options: Any,
    ) -> Self:
        """Score items with a fitted classifier and draw the scores.

        Parameters
        ----------
        estimator : fitted classifier
            With ``predict_proba``, or else ``decision_function``.
        X : sequence of n items
            What it takes; items that it was not trained on.
        y : array-like of shape (n,)
            Labels of two classes.
        pos_label : label, default=None
            The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
        name : str, default=None
            Legend entry. None: the name of the estimator's class.
        **options : dict
            For :meth:`from_predictions`.

        Returns
        -------
        display
            The drawing.

        Raises
        ------
        TypeError
            For an estimator without scores.
        """
        positive = positive_label(y, pos_label)
        method, _ = soft_method(estimator)
        scores = fake_response(estimator, method, X, positive)
        name = type(estimator).__name__ if name is None else name
        return cls.from_predictions(y, scores, pos_label=positive, name=name, **options)
