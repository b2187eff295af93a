"""Detectors: the methods of the tables, each a block of features and a classifier."""

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skfakespotter import FakeSpotterClassifier
from skfakespotter.evaluation._scoring import fake_response, fit_and_score

LAYER_FSC = "coverage per layer + FakeSpotterClassifier"
LAYER_SVC = "coverage per layer + SVC"
CHANNEL_FSC = "coverage per channel + FakeSpotterClassifier"
CHANNEL_SVC = "coverage per channel + SVC"
CHANNEL_LR = "coverage per channel + LogisticRegression"
AUGMENTED_SVC = "coverage per channel + SVC, trained with perturbed copies"
AUGMENTED_LR = "coverage per channel + LogisticRegression, trained with perturbed copies"
EMBEDDING_SVC = "embedding + SVC"
MEANS_SVC = "mean activations + SVC"
MEANS_LR = "mean activations + LogisticRegression"

FEW = 1000  # training pictures up to which the wide net is trained in full
SHORT_EPOCHS = 15  # beyond


def fast_rbf(A, B):
    """Give the RBF kernel with gamma = 1 / n_features, by one matrix product.

    ``SVC(kernel=fast_rbf)`` is ``SVC(gamma="auto")``, ten times faster on wide features.
    """
    return rbf_kernel(A, B, gamma=1 / A.shape[1])


CLASSIFIERS = {
    "FakeSpotterClassifier": FakeSpotterClassifier(random_state=0, device="cpu"),
    "SVC": SVC(C=10, kernel=fast_rbf),
    "LogisticRegression": LogisticRegression(C=0.02, max_iter=2000),
    "RandomForest": RandomForestClassifier(200, random_state=0),
}
# method: (block of features, classifier)
METHODS = {
    LAYER_FSC: ("layer", "FakeSpotterClassifier"),
    LAYER_SVC: ("layer", "SVC"),
    "coverage per layer + LogisticRegression": ("layer", "LogisticRegression"),
    "coverage per layer + RandomForest": ("layer", "RandomForest"),
    CHANNEL_SVC: ("channel", "SVC"),
    CHANNEL_LR: ("channel", "LogisticRegression"),
    "coverage per channel + RandomForest": ("channel", "RandomForest"),
    CHANNEL_FSC: ("channel", "FakeSpotterClassifier"),
    AUGMENTED_SVC: ("augmented", "SVC"),
    AUGMENTED_LR: ("augmented", "LogisticRegression"),
    EMBEDDING_SVC: ("embedding", "SVC"),
    MEANS_SVC: ("means", "SVC"),
    MEANS_LR: ("means", "LogisticRegression"),
    "global threshold 0, per channel + SVC": ("global", "SVC"),
    "random weights, coverage per channel + SVC": ("random", "SVC"),
}
RIVALS = ("cheap-cues", "spectrum-linear", "cooccurrence", "saturation", "spectrum-cnn")
ATTACKED = (
    LAYER_FSC,
    LAYER_SVC,
    CHANNEL_SVC,
    CHANNEL_LR,
    AUGMENTED_SVC,
    AUGMENTED_LR,
    EMBEDDING_SVC,
    MEANS_SVC,
    MEANS_LR,
)


def make_classifier(name, n_train=0, n_features=0):
    """Give an unfitted classifier behind a StandardScaler.

    On more than 1,000 vectors of more than 1,000 numbers the paper's net is trained for
    15 epochs instead of 40: it costs minutes a fold.
    """
    classifier = clone(CLASSIFIERS[name])
    if name == "FakeSpotterClassifier" and n_train > FEW and n_features > 1000:
        classifier.set_params(max_epochs=SHORT_EPOCHS)
    return make_pipeline(StandardScaler(), classifier)


def out_of_fold(classifier, features, y, folds, n_jobs=2):
    """Score every picture by the detector of the fold in which it is held out.

    Parameters
    ----------
    classifier : str or estimator
        Key of ``CLASSIFIERS``, or a classifier of feature vectors.
    features : callable
        ``features(fold)`` gives the vectors (n, n_features) counted for that fold.
        There may be more rows than labels: row n + i is a perturbed copy of picture i,
        which is trained on where picture i is, and never tested.
    y : ndarray of shape (n,)
        Labels.
    folds : list of (ndarray, ndarray)
        Training and test positions.
    n_jobs : int, default=2
        Processes.

    Returns
    -------
    scores : ndarray of shape (n,)
        Larger is more fake.
    threshold : float
        0.5 for probabilities, else 0.
    """
    done = Parallel(n_jobs)(
        delayed(_score_fold)(classifier, features(number), y, *fold)
        for number, fold in enumerate(folds)
    )
    scores = np.empty(len(y))
    for (_, test), (fold_scores, _) in zip(folds, done, strict=True):
        scores[test] = fold_scores
    return scores, done[0][1]


def _score_fold(classifier, X, y, train, test):
    train, labels = with_copies(train, y, len(X))
    if isinstance(classifier, str):
        classifier = make_classifier(classifier, len(train), X.shape[1])
    (scores,), threshold = fit_and_score(
        classifier, as_numbers(X), labels, [(train, test)], positive=1
    )
    return scores, threshold


def with_copies(train, y, n_rows):
    """Add the perturbed copies of the training pictures, and label them, where there are any."""
    n_copies = n_rows // len(y) - 1
    rows = np.concatenate([train + len(y) * k for k in range(1 + n_copies)])
    return rows, np.tile(y, 1 + n_copies)


def as_numbers(X):
    """Give features as floating-point numbers."""
    return np.asarray(X, dtype=np.float64)


def score_with(fitted, X):
    """Say how fake each vector is: P(fake), or the decision value where there is no such."""
    method = "predict_proba" if hasattr(fitted, "predict_proba") else "decision_function"
    return fake_response(fitted, method, as_numbers(X), 1)


def fit_folds(classifier, features, y, folds, n_jobs=2):
    """Fit the detector of every fold, as :func:`out_of_fold` does.

    Returns
    -------
    list of Pipeline
        One a fold.
    """
    return Parallel(n_jobs)(
        delayed(_fit)(classifier, features(number), y, train)
        for number, (train, _) in enumerate(folds)
    )


def _fit(classifier, X, y, train):
    train, labels = with_copies(train, y, len(X))
    model = make_classifier(classifier, len(train), X.shape[1])
    return model.fit(as_numbers(X)[train], labels[train])
