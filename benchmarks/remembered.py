"""Remembered: a transformer of crops that looks at none of them twice, in this run or the next."""

from hashlib import blake2b
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline


class Remembered(TransformerMixin, BaseEstimator):
    """Keep what a fitted or stateless transformer said about each crop, by the crop's bytes.

    Parameters
    ----------
    transformer : transformer
        From a list of crops to rows of numbers.
    file : Path
        Where the rows are kept. They belong to this transformer: name it after all that matters.
    """

    def __init__(self, transformer, file):
        self.transformer = transformer
        self.file = file

    def fit(self, X, y=None):
        """Do nothing: the transformer is fitted."""
        return self

    def transform(self, X):
        """Look rows up; compute and keep those that are new."""
        if not hasattr(self, "rows_"):
            self.rows_ = _load(self.file)
        keys = [blake2b(np.ascontiguousarray(crop), digest_size=16).hexdigest() for crop in X]
        new = {key: crop for key, crop in zip(keys, X, strict=True) if key not in self.rows_}
        if new:
            rows = np.asarray(self.transformer.transform(list(new.values())))
            self.rows_.update(zip(new, rows, strict=True))
            self.file.parent.mkdir(parents=True, exist_ok=True)
            part = self.file.with_suffix(".part.npz")
            np.savez(part, keys=list(self.rows_), rows=list(self.rows_.values()))
            part.replace(self.file)
        return np.stack([self.rows_[key] for key in keys])

    def __sklearn_is_fitted__(self):
        """Say that there is nothing to fit."""
        return True

    def get_feature_names_out(self, input_features=None):
        """Name the columns as the transformer does, or a Pipeline's last step."""
        last = self.transformer
        return (last[-1] if isinstance(last, Pipeline) else last).get_feature_names_out()


def _load(file):
    if not Path(file).is_file():
        return {}
    with np.load(file) as kept:
        return dict(zip(kept["keys"].tolist(), kept["rows"], strict=True))


def remember(transformer, file):
    """Return a transformer with a memory; clones of it share the memory."""
    return FrozenEstimator(Remembered(transformer, file))
