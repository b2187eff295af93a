"""Try an installed package as a new user would: `make dist` runs it outside of the checkout."""

from importlib.metadata import metadata, version
from importlib.resources import files

import skfakespotter
from skfakespotter import detection_report, load_coverage_sample, make_fakespotter, make_pictures

assert "site-packages" in skfakespotter.__file__, "the checkout was imported, not the wheel"
assert version("skfakespotter") == skfakespotter.__version__
assert metadata("skfakespotter")["License-Expression"] == "BSD-3-Clause"
for name in ("py.typed", "__init__.pyi"):
    assert files("skfakespotter").joinpath(name).is_file(), name

X, y = make_pictures(40, random_state=0)
detector = make_fakespotter("toy_image", align=False, random_state=0).fit(X, y)
assert detector.predict_proba(X).shape == (40, 2)
sample = load_coverage_sample(pair="stylegan", split="test")
print(detection_report(sample.target, sample.data[:, 0]))
print(f"skfakespotter {skfakespotter.__version__} works from {skfakespotter.__file__}")
