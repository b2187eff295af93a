"""
How a detector stands up to compression, blur, resizing and noise
=================================================================

Pictures on the web have been compressed, shrunk and compressed again. ``robustness_curve`` scores
one fitted detector on clean pictures and on the same pictures under attack. It does not refit the
detector.

The pictures are generated and the detector reads nothing but their spectrum, so the example runs
anywhere in seconds. The benchmarks report the figures on faces.
"""

from skfakespotter import make_baseline, make_pictures, robustness_curve

X, y = make_pictures(100, size=64, strength=0.5, random_state=0)
train, test = slice(0, 60), slice(60, 100)
detector = make_baseline("spectrum-linear", random_state=0).fit(X[train], y[train])

# %%
# Points lost
# -----------
# ``mean_drop`` is the loss of AUC in hundredths, averaged over the five intensities of an attack.
# Every detector is scored on the same attacked pictures, so their differences are comparable.

curve = robustness_curve(detector, X[test], y[test], n_bootstraps=100)
for attack, drop in curve.mean_drop.items():
    low, high = curve.mean_drop_interval[attack]
    print(f"{attack:8} {drop:5.1f} points [{low:.1f}, {high:.1f}]")

# %%
# Each attack, weak to strong
# ---------------------------
# A generator leaves traces in the high frequencies, which blur and compression remove.
# ``AugmentedClassifier`` trains with perturbed copies. The benchmarks show that neuron coverage
# loses far less.

curve.plot()
