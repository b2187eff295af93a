"""Parameters: one declaration, scikit-learn's, says what a function's parameters may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from sklearn.utils._param_validation import validate_params

_P = ParamSpec("_P")
_R = TypeVar("_R")


def checked(**constraints: list[Any]) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Check the parameters of a function as scikit-learn checks those of its estimators.

    Parameters
    ----------
    **constraints : list
        By parameter, what it may be: types, None, ``Interval``, ``StrOptions``, "random_state",
        ... as in an estimator's ``_parameter_constraints``. Other parameters are not checked.

    Returns
    -------
    callable
        A decorator. The function raises a ValueError that is a TypeError too, "The 'x'
        parameter of f must be ..., Got ... instead.".

    Examples
    --------
    >>> from numbers import Real
    >>> from sklearn.utils._param_validation import Interval
    >>> from skfakespotter._params import checked
    >>> @checked(share=[Interval(Real, 0, 1, closed="both")])
    ... def halve(share):
    ...     return share / 2
    >>> halve(0.5), halve.__name__
    (0.25, 'halve')
    """
    # nested validation stays: estimators of a user's pass through these functions
    return validate_params(constraints, prefer_skip_nested_validation=False)
