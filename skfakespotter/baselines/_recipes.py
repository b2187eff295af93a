"""Recipes: what the Pipeline of each baseline is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils._param_validation import StrOptions

from skfakespotter._params import checked
from skfakespotter._typing import RandomState
from skfakespotter.baselines._artifacts import VisualArtifacts
from skfakespotter.baselines._cooccurrence import CooccurrenceMatrices
from skfakespotter.baselines._cues import cheap_cue_baseline
from skfakespotter.baselines._head_pose import HeadPoseDifference
from skfakespotter.baselines._landmarks import FaceLandmarks
from skfakespotter.baselines._pixels import PixelValues
from skfakespotter.baselines._saturation import SaturationStatistics
from skfakespotter.baselines._spectrum import LogSpectrum


def _spectrum_linear(random_state: RandomState) -> Pipeline:
    # thousands of columns, hundreds of pictures: the penalty must be strong
    classifier = LogisticRegression(C=1e-2, max_iter=1000, random_state=random_state)
    return _pipeline(LogSpectrum(pool=8), StandardScaler(), classifier)


def _spectrum_cnn(random_state: RandomState) -> Pipeline:
    from skfakespotter.baselines._spectrum_cnn import SpectrumCNNClassifier

    # single cells of a spectrum are speckle, which a network without pretraining memorizes
    classifier = SpectrumCNNClassifier(random_state=random_state)
    return Pipeline([("features", LogSpectrum(pool=8)), ("classifier", classifier)])


def _cooccurrence(random_state: RandomState) -> Pipeline:
    pipeline = _pipeline(CooccurrenceMatrices(), StandardScaler(), _svm(1e-3, random_state))
    # frequencies span six decades; their square roots have nearly equal variances
    root = FunctionTransformer(np.sqrt, feature_names_out="one-to-one")
    pipeline.steps.insert(1, ("root", root))
    return pipeline


def _autogan(random_state: RandomState) -> Pipeline:
    from skfakespotter.baselines._resnet_classifier import ResNetClassifier

    classifier = ResNetClassifier(34, optimizer="sgd", lr=0.01, random_state=random_state)
    spectrum = LogSpectrum(224, crop=224 / 256)
    return Pipeline([("features", spectrum), ("classifier", classifier)])


def _cnn_scratch(random_state: RandomState) -> Pipeline:
    from skfakespotter.baselines._resnet_classifier import ResNetClassifier

    classifier = ResNetClassifier(50, crop=224, flip=True, random_state=random_state)
    return Pipeline([("features", PixelValues(256)), ("classifier", classifier)])


def _cooccurrence_cnn(random_state: RandomState) -> Pipeline:
    from skfakespotter.baselines._cooccurrence_cnn import CooccurrenceCNNClassifier

    classifier = CooccurrenceCNNClassifier(random_state=random_state)
    return Pipeline([("features", CooccurrenceMatrices(256)), ("classifier", classifier)])


def _saturation(random_state: RandomState) -> Pipeline:
    return _pipeline(SaturationStatistics(), StandardScaler(), _svm(1.0, random_state))


def _cheap_cues(random_state: RandomState) -> Pipeline:
    return cheap_cue_baseline()  # its logistic regression draws nothing


def _embedding(random_state: RandomState) -> Pipeline:
    from skfakespotter.baselines._network import FaceEmbedding

    return _on_faces(FaceEmbedding(), random_state)


def _mean_activations(random_state: RandomState) -> Pipeline:
    from skfakespotter.baselines._network import MeanActivations

    return _on_faces(MeanActivations(), random_state)


def _global_threshold(random_state: RandomState) -> Pipeline:
    from skfakespotter.transformer import NeuronCoverageTransformer

    coverage = NeuronCoverageTransformer(granularity="channel", threshold=0.0)
    return _on_faces(coverage, random_state)


def _random_weights(random_state: RandomState) -> Pipeline:
    from skfakespotter.backbones import load_backbone
    from skfakespotter.transformer import NeuronCoverageTransformer

    untrained = load_backbone("dlib", weights="random")
    return _on_faces(NeuronCoverageTransformer(untrained, granularity="channel"), random_state)


def _head_pose(random_state: RandomState) -> Pipeline:
    svm = CalibratedClassifierCV(SVC(C=10, random_state=random_state), ensemble=False)
    pipeline = _pipeline(HeadPoseDifference(), StandardScaler(), svm)
    return _on_crops(Pipeline([("landmarks", FaceLandmarks()), *pipeline.steps]))


def _visual_artifacts(random_state: RandomState) -> Pipeline:
    classifier = LogisticRegression(max_iter=1000, random_state=random_state)
    return _on_crops(_pipeline(VisualArtifacts(), StandardScaler(), classifier))


def _visual_artifacts_mlp(random_state: RandomState) -> Pipeline:
    classifier = MLPClassifier((64, 64, 64), early_stopping=True, random_state=random_state)
    return _on_crops(_pipeline(VisualArtifacts(), StandardScaler(), classifier))


def _mesoinception(random_state: RandomState) -> Pipeline:
    from skfakespotter.baselines._mesonet import MesoInceptionClassifier

    # crops have 150 pixels; at the published 256 a CPU would train four times as long
    classifier = MesoInceptionClassifier(random_state=random_state)
    return _on_crops(Pipeline([("features", PixelValues(128)), ("classifier", classifier)]))


def _on_crops(pipeline: Pipeline) -> Pipeline:
    from skfakespotter.faces import FaceAligner

    return Pipeline([("align", FaceAligner()), *pipeline.steps])


def _on_faces(features: Any, random_state: RandomState) -> Pipeline:
    svm = CalibratedClassifierCV(SVC(C=10, random_state=random_state), ensemble=False)
    return _on_crops(_pipeline(features, StandardScaler(), svm))


def _svm(C: float, random_state: RandomState) -> CalibratedClassifierCV:
    svm = LinearSVC(C=C, random_state=random_state, max_iter=10_000)
    return CalibratedClassifierCV(svm, ensemble=False)


def _pipeline(features: Any, scale: Any, classifier: Any) -> Pipeline:
    return Pipeline([("features", features), ("scale", scale), ("classifier", classifier)])


BASELINES = {
    "spectrum-linear": _spectrum_linear,
    "spectrum-cnn": _spectrum_cnn,
    "autogan": _autogan,
    "cnn-scratch": _cnn_scratch,
    "cooccurrence": _cooccurrence,
    "cooccurrence-cnn": _cooccurrence_cnn,
    "saturation": _saturation,
    "cheap-cues": _cheap_cues,
    "embedding": _embedding,
    "mean-activations": _mean_activations,
    "global-threshold": _global_threshold,
    "random-weights": _random_weights,
    "head-pose": _head_pose,
    "visual-artifacts": _visual_artifacts,
    "visual-artifacts-mlp": _visual_artifacts_mlp,
    "mesoinception": _mesoinception,
}


@checked(name=[StrOptions(set(BASELINES))], random_state=["random_state"])
def make_baseline(name: str, *, random_state: RandomState = None) -> Pipeline:
    """Return an unfitted rival of neuron coverage, from pictures to P(fake).

    Parameters
    ----------
    name : str
        On whole pictures:

        - "cheap-cues": :func:`cheap_cue_baseline`;
        - "spectrum-linear": :class:`LogSpectrum` averaged to 32 x 32 cells per channel,
          standardized, logistic regression;
        - "spectrum-cnn": the same cells, :class:`SpectrumCNNClassifier`;
        - "autogan": :class:`LogSpectrum` of the center 224 x 224 of 256 x 256, a ResNet-34
          (:class:`ResNetClassifier`), ten epochs, as published;
        - "cnn-scratch": :class:`PixelValues` of 256 x 256, a ResNet-50 on random 224 x 224 of
          them, mirrored or not: the architecture of :class:`CNNDetection`;
        - "cooccurrence": square roots of :class:`CooccurrenceMatrices`, standardized,
          linear support vector machine;
        - "cooccurrence-cnn": :class:`CooccurrenceMatrices` of 256 levels,
          :class:`CooccurrenceCNNClassifier`, as published;
        - "saturation": :class:`SaturationStatistics`, standardized, linear support vector
          machine.

        On faces, which the step ``align`` finds (``set_params(align="passthrough")`` when the
        pictures are aligned faces already), with the network "dlib"; standardized, support
        vector machine with the RBF kernel:

        - "embedding": :class:`FaceEmbedding`, "traditional" in the paper's Figure 2 [1]_;
        - "mean-activations": :class:`MeanActivations`, coverage without a threshold;
        - "global-threshold": coverage per channel, one threshold, 0, for all layers, after
          DeepXplore [2]_ (which scales the outputs first);
        - "random-weights": coverage per channel of the same network, untrained: what the
          architecture alone sees [3]_.

        On aligned faces of the template "dlib", as methods for clips take them:

        - "head-pose": :class:`FaceLandmarks`, :class:`HeadPoseDifference`, standardized, support
          vector machine with the RBF kernel;
        - "visual-artifacts": :class:`VisualArtifacts`, standardized, logistic regression;
        - "visual-artifacts-mlp": the same, three layers of 64 units;
        - "mesoinception": :class:`PixelValues` of 128 pixels, :class:`MesoInceptionClassifier`.

        The three large networks start from nothing, and ask for an accelerator.
        ``set_params(classifier__weights=...)`` gives the ResNets your ImageNet weights. The
        support vector machines are calibrated by five-fold cross-validation (Platt)
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

    References
    ----------
    .. [1] R. Wang et al., "FakeSpotter", IJCAI 2020.
    .. [2] K. Pei et al., "DeepXplore: Automated Whitebox Testing of Deep Learning Systems",
       SOSP 2017, section 4.1.
    .. [3] A. Saxe et al., "On Random Weights and Unsupervised Feature Learning", ICML 2011.

    Examples
    --------
    >>> from skfakespotter.baselines import make_baseline
    >>> list(make_baseline("saturation", random_state=0).named_steps)
    ['features', 'scale', 'classifier']
    """
    return BASELINES[name](random_state)
