"""ExpertStack: unlike experts, each with features of its own, joined by learned weights."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import _safe_indexing, column_or_1d, get_tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, has_fit_parameter

from skfakespotter._typing import Items, RandomState


class ExpertStack(ClassifierMixin, MetaEstimatorMixin, _BaseComposition):
    r"""Experts that look at different things, with weights learned from held-out decisions.

    Each expert has features of its own (coverage of one network, of another, co-occurrence
    matrices, ...) and a classifier. Its decisions :math:`f_k` on pictures that it was not
    trained on are standardized, and a logistic regression gives the probability

    .. math:: P(\text{fake}) = \sigma(b + \sum_k w_k f_k)

    An expert without information gets a weight near 0; in a plain sum it would add noise. The
    weights come from folds that keep ``groups`` together: perturbed copies and edited versions of
    one photograph stay on one side. A stack of one expert is that
    expert with calibrated probabilities.

    Parameters
    ----------
    experts : list of (str, classifier)
        Name and classifier of each expert. If it is a Pipeline, all steps but the last are fitted
        once, on all pictures, so they must not learn from labels. The last step is fitted once
        per fold.
    cv : int, default=5
        Folds.
    random_state : int, RandomState instance or None, default=0
        Seed of the folds.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        Labels.
    experts_ : list of (str, classifier)
        The experts, fitted on all pictures.
    weights_ : dict of str to float
        Weight of each expert's decisions, in units of their standard deviation: comparable
        with each other.
    coef_ : ndarray of shape (n_experts,)
        Weight of each expert's decisions as they are.
    intercept_ : float
        Added to their sum.

    Raises
    ------
    ValueError
        For no experts, two of one name, or labels of other than two classes.

    See Also
    --------
    make_fakespotter : ``preset="recommended"`` uses it.

    References
    ----------
    D. Wolpert, "Stacked generalization", Neural Networks 5, 1992.
    J. Platt, "Probabilistic outputs for support vector machines", 1999.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skfakespotter import ExpertStack
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> X = np.column_stack([y + rng.normal(0, 0.4, 60), rng.normal(size=60)])
    >>> first, second = (FunctionTransformer(lambda X, i=i: X[:, [i]]) for i in (0, 1))
    >>> stack = ExpertStack(
    ...     [
    ...         ("knows", make_pipeline(first, LogisticRegression())),
    ...         ("guesses", make_pipeline(second, LogisticRegression())),
    ...     ]
    ... ).fit(X, y)
    >>> stack.weights_["knows"] > 5 * abs(stack.weights_["guesses"])
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "experts": [list],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        experts: Sequence[tuple[str, Any]],
        *,
        cv: int = 5,
        random_state: RandomState = 0,
    ) -> None:
        self.experts = experts
        self.cv = cv
        self.random_state = random_state

    def fit(
        self,
        X: Items,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        units: ArrayLike | None = None,
    ) -> ExpertStack:
        """Fit all experts, and the weights on their held-out decisions.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n, n_features)
            What the experts' features take.
        y : array-like of shape (n,)
            Labels of two classes.
        groups : array-like of shape (n,), default=None
            Which items belong together. None: each item is its own group.
        sample_weight : array-like of shape (n,), default=None
            Weight of each item, for the experts' classifiers and for the joint one. None: 1.
        units : array-like of shape (n,), default=None
            Which items are judged together, such as the windows of one clip. The experts'
            weights are then learned from the means of their decisions over each unit. None:
            each item is its own unit.

        Returns
        -------
        self : ExpertStack
            Fitted.

        Raises
        ------
        ValueError
            For weights that an expert's classifier does not take, or a unit of two labels.
        """
        self._validate_params()
        self._check_experts()
        check_consistent_length(X, y, groups, sample_weight, units)
        check_classification_targets(y)
        encoder = LabelEncoder().fit(column_or_1d(y))
        self.classes_, target = encoder.classes_, encoder.transform(y)
        if len(self.classes_) != 2:
            raise ValueError(
                "Only binary classification is supported. "
                f"y holds {len(self.classes_)} classes, {self.classes_.tolist()[:5]}: expected two."
            )
        weight = None if sample_weight is None else np.asarray(column_or_1d(sample_weight), float)
        folds = list(self._folds(target, groups))
        decisions, self.experts_ = [], []
        for name, expert in self.experts:
            steps, classifier = _take_apart(clone(expert))
            _check_takes_weights(name, classifier, weight)
            Z = X
            for _, step in steps:
                Z = step.fit_transform(Z)
            decisions.append(_held_out(classifier, Z, target, folds, weight))
            _fit(classifier, Z, target, weight)
            self.experts_.append((name, Pipeline([*steps, ("classifier", classifier)])))
        self._join(*_per_unit(np.column_stack(decisions), target, weight, units))
        return self

    def decision_function(self, X: Items) -> NDArray[np.float64]:
        """Compute the log odds of ``classes_[1]``.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n, n_features)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n,)
            Log odds; above 0 for ``classes_[1]``.
        """
        check_is_fitted(self, "coef_")
        return self.expert_decisions(X) @ self.coef_ + self.intercept_

    def expert_decisions(self, X: Items) -> NDArray[np.float64]:
        """Compute the decisions of each expert.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n, n_features)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n, n_experts)
            Decisions, each in its expert's own units.
        """
        check_is_fitted(self, "coef_")
        return np.column_stack([_decide(expert, X) for _, expert in self.experts_])

    def predict_proba(self, X: Items) -> NDArray[np.float64]:
        """Compute the calibrated probability of each class.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n, n_features)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n, 2)
            Columns as ``classes_``.
        """
        fake = 1 / (1 + np.exp(-self.decision_function(X)))
        return np.column_stack([1 - fake, fake])

    def predict(self, X: Items) -> NDArray[Any]:
        """Predict labels.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n, n_features)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n,)
            The more probable label of each.
        """
        return self.classes_[(self.decision_function(X) > 0).astype(int)]

    @property
    def takes_weights(self) -> bool:
        """Whether the classifiers of all experts take ``sample_weight``."""
        classifiers = [_take_apart(expert)[1] for _, expert in self.experts]
        return all(has_fit_parameter(one, "sample_weight") for one in classifiers)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with ``deep`` the experts and theirs too, by their names.

        Parameters
        ----------
        deep : bool, default=True
            Add ``name`` and ``name__parameter`` of every expert.

        Returns
        -------
        dict
            Names and values.
        """
        return self._get_params("experts", deep=deep)

    def set_params(self, **params: Any) -> ExpertStack:
        """Set parameters, by the names that :meth:`get_params` returns.

        Parameters
        ----------
        **params
            New values.

        Returns
        -------
        self : ExpertStack
            With the new values.
        """
        self._set_params("experts", **params)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = [get_tags(expert) for _, expert in self.experts]
        tags.input_tags.two_d_array = all(tag.input_tags.two_d_array for tag in inner)
        tags.input_tags.string = any(tag.input_tags.string for tag in inner)
        tags.classifier_tags.multi_class = False
        return tags

    def _check_experts(self) -> None:
        pairs = [expert for expert in self.experts if len(expert) == 2]
        names = {name for name, _ in pairs}
        if not pairs or len(names) < len(self.experts):
            raise ValueError(
                f"experts is {self.experts!r}: expected (name, classifier) pairs, one or more, "
                "of different names."
            )
        self._validate_names(names)

    def _folds(self, target, groups):
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        splitter = kind(self.cv, shuffle=True, random_state=self.random_state)
        return splitter.split(np.zeros(len(target)), target, groups)

    def _join(self, decisions, target, weight):
        center, scale = decisions.mean(0), decisions.std(0)
        scale[scale == 0] = 1.0
        joint = LogisticRegression().fit((decisions - center) / scale, target, weight)
        names = [name for name, _ in self.experts]
        self.weights_ = dict(zip(names, joint.coef_[0].tolist(), strict=True))
        self.coef_ = joint.coef_[0] / scale
        self.intercept_ = float(joint.intercept_[0] - center @ self.coef_)


def _take_apart(expert):
    """Split an expert into the steps that make its features, and its classifier."""
    if isinstance(expert, Pipeline):
        steps = [
            (name, step) for name, step in expert.steps[:-1] if step not in (None, "passthrough")
        ]
        return steps, expert.steps[-1][1]
    return [], expert


def _check_takes_weights(name, classifier, weight):
    if weight is not None and not has_fit_parameter(classifier, "sample_weight"):
        raise ValueError(
            f"sample_weight was given, and {type(classifier).__name__} of expert {name!r} takes "
            "none: expected classifiers that do, or sample_weight=None."
        )


def _fit(classifier, Z, target, weight):
    options = {} if weight is None else {"sample_weight": weight}
    return classifier.fit(Z, target, **options)


def _held_out(classifier, Z, target, folds, weight):
    """Compute each item's decision by a classifier that was not trained on it."""
    decisions = np.empty(len(target))
    for train, test in folds:
        own = None if weight is None else weight[train]
        fitted = _fit(clone(classifier), _safe_indexing(Z, train), target[train], own)
        decisions[test] = _decide(fitted, _safe_indexing(Z, test))
    return decisions


def _per_unit(decisions, target, weight, units):
    """Average the decisions over each unit, and share out the weights anew."""
    if units is None:
        return decisions, target, weight
    names, first, unit = np.unique(column_or_1d(units), return_index=True, return_inverse=True)
    if (mixed := target != target[first][unit]).any():
        item = np.argmax(mixed)
        raise ValueError(
            f"units: item {item} has another label than the first of its unit, "
            f"{names[unit[item]]}: expected one label a unit."
        )
    n_items = np.bincount(unit)
    means = [np.bincount(unit, column) / n_items for column in decisions.T]
    if weight is not None:
        weight = np.bincount(unit, weight)
        weight = weight / weight.mean()  # the penalty is the same for units of any length
    return np.column_stack(means), target[first], weight


def _decide(classifier, X):
    """Compute decisions; of a classifier that only knows probabilities, their log odds."""
    if hasattr(classifier, "decision_function"):
        return classifier.decision_function(X)
    fake = np.clip(classifier.predict_proba(X)[:, 1], 1e-6, 1 - 1e-6)
    return np.log(fake / (1 - fake))
