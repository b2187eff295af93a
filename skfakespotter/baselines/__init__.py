"""What coverage is compared with: other people's detectors, each as a Pipeline on pictures.

``BASELINES`` maps a name to a function that takes ``random_state`` and returns an unfitted
Pipeline; :func:`make_baseline` calls it. All of them have ``predict_proba``. The
convolutional network is imported when first used, so that this package loads without torch.
"""

from importlib import import_module

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from .cooccurrence import CooccurrenceMatrices
from .cues import CheapCues, cheap_cue_baseline
from .saturation import SaturationStatistics
from .spectrum import LogSpectrum

__all__ = [
    "BASELINES",
    "CheapCues",
    "CooccurrenceMatrices",
    "LogSpectrum",
    "SaturationStatistics",
    "SpectrumCNNClassifier",
    "cheap_cue_baseline",
    "make_baseline",
]


def make_baseline(name, *, random_state=None):
    """Give an unfitted rival of neuron coverage, from pictures to P(fake).

    Parameters
    ----------
    name : {"spectrum-linear", "spectrum-cnn", "cooccurrence", "saturation"}
        - "spectrum-linear": :class:`LogSpectrum` averaged to 32 x 32 cells per channel,
          standardised, logistic regression;
        - "spectrum-cnn": the same cells, :class:`SpectrumCNNClassifier`;
        - "cooccurrence": square roots of :class:`CooccurrenceMatrices`, standardised,
          linear support vector machine;
        - "saturation": :class:`SaturationStatistics`, standardised, linear support vector
          machine.

        The support vector machines are calibrated by five-fold cross-validation (Platt)
        to give probabilities, so each class needs five pictures.
    random_state : int, RandomState instance or None, default=None
        Seeds the classifier. An integer makes the result repeatable.

    Returns
    -------
    Pipeline
        Unfitted, with ``predict_proba``.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> from skfakespotter.baselines import make_baseline
    >>> list(make_baseline("saturation", random_state=0).named_steps)
    ['features', 'scale', 'classifier']
    """
    if name not in BASELINES:
        raise ValueError(f"name is {name!r}: expected one of {', '.join(map(repr, BASELINES))}.")
    return BASELINES[name](random_state)


def _spectrum_linear(random_state):
    # thousands of columns, hundreds of pictures: the penalty must be strong
    classifier = LogisticRegression(C=1e-2, max_iter=1000, random_state=random_state)
    return _pipeline(LogSpectrum(pool=8), StandardScaler(), classifier)


def _spectrum_cnn(random_state):
    from .spectrum_cnn import SpectrumCNNClassifier

    # single cells of a spectrum are speckle, which a network without pretraining memorises
    classifier = SpectrumCNNClassifier(random_state=random_state)
    return Pipeline([("features", LogSpectrum(pool=8)), ("classifier", classifier)])


def _cooccurrence(random_state):
    pipeline = _pipeline(CooccurrenceMatrices(), StandardScaler(), _svm(1e-3, random_state))
    # frequencies span six decades; their square roots have nearly equal variances
    root = FunctionTransformer(np.sqrt, feature_names_out="one-to-one")
    pipeline.steps.insert(1, ("root", root))
    return pipeline


def _saturation(random_state):
    return _pipeline(SaturationStatistics(), StandardScaler(), _svm(1.0, random_state))


def _svm(C, random_state):
    svm = LinearSVC(C=C, random_state=random_state, max_iter=10_000)
    return CalibratedClassifierCV(svm, ensemble=False)


def _pipeline(features, scale, classifier):
    return Pipeline([("features", features), ("scale", scale), ("classifier", classifier)])


BASELINES = {
    "spectrum-linear": _spectrum_linear,
    "spectrum-cnn": _spectrum_cnn,
    "cooccurrence": _cooccurrence,
    "saturation": _saturation,
}


def __getattr__(name):
    if name != "SpectrumCNNClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(".spectrum_cnn", __name__).SpectrumCNNClassifier


def __dir__():
    return sorted({*globals(), *__all__})
