"""
Voices instead of faces
=======================

Nothing in the transformer is about pictures: it takes any array that a network takes. Here it
listens to a small one-dimensional network that was trained to tell *speakers* apart, and from
the neurons that fire it tells natural recordings from resynthesized ones, as DeepSonar does
with speaker recognition networks [1]_. The network never hears a synthetic sound in its own
training, as a face-recognition network never sees a synthetic face.

All sounds are generated: harmonic tones with a speaker's formants and breath. A simple vocoder
makes the synthetic ones: it keeps the magnitudes of the short-time spectrum and finds phases
for them by a few rounds of Griffin and Lim's method [2]_. The figures say that the machinery
works; about real deepfakes they say nothing.

References
----------
.. [1] R. Wang et al., "DeepSonar: Towards Effective and Robust Detection of AI-Synthesized
   Fake Voices", ACM Multimedia 2020, arXiv:2005.13770.
.. [2] D. Griffin and J. Lim, "Signal Estimation from Modified Short-Time Fourier Transform",
   IEEE TASSP 32(2), 1984.
"""

# %%
# Natural sounds
# --------------
# A speaker is a pitch range and three formants. In every utterance the pitch glides and
# trembles (jitter), the loudness of the harmonics too (shimmer), and there is breath noise.

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skfakespotter import NeuronCoverageTransformer

RATE, LENGTH = 8000, 4000  # samples per second, samples of an utterance
N_SPEAKERS, N_TRAINING, N_UTTERANCES = 12, 14, 8  # utterances of each speaker
rng = np.random.default_rng(0)
pitches = rng.uniform(90, 240, N_SPEAKERS)  # Hz
formants = rng.uniform((300, 900, 2100), (800, 2000, 3400), (N_SPEAKERS, 3))  # Hz


def utter(speaker):
    """Return one utterance (LENGTH,) of a speaker, of unit power."""
    time = np.arange(LENGTH) / RATE
    glide = rng.normal(0, 0.05) * time / time[-1] + 0.01 * smooth_noise()
    pitch = pitches[speaker] * np.exp(rng.normal(0, 0.08) + glide)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = 0.05 * rng.normal(size=LENGTH)
    for harmonic in range(1, 30):
        frequency = harmonic * pitch.mean()
        if frequency < 0.45 * RATE:
            gain = np.exp(-(((frequency - formants[speaker]) / 200) ** 2)).sum() + 0.5 / harmonic
            sound += gain * (1 + 0.2 * smooth_noise()) * np.cos(harmonic * phase)
    return sound / sound.std()


def smooth_noise():
    """Return noise (LENGTH,) that changes within hundredths of a second, deviation about 1."""
    return np.interp(np.arange(LENGTH), np.arange(0, LENGTH + 80, 80), rng.normal(size=51))


# %%
# The vocoder
# -----------

spectrum = ShortTimeFFT(hann(256, sym=False), hop=64, fs=RATE)


def vocode(sound, n_rounds=8):
    """Resynthesize a sound from the magnitudes of its spectrum, with phases of its own."""
    magnitude = np.abs(spectrum.stft(sound))
    phase = np.exp(2j * np.pi * rng.uniform(size=magnitude.shape))
    for _ in range(n_rounds):
        estimate = spectrum.stft(spectrum.istft(magnitude * phase, k1=LENGTH))
        phase = np.exp(1j * np.angle(estimate))
    sound = spectrum.istft(magnitude * phase, k1=LENGTH)
    return sound / sound.std()


# %%
# A network that recognizes speakers
# ----------------------------------
# Four convolutions and a fully-connected layer, trained on natural utterances for seconds.

torch.manual_seed(0)
network = nn.Sequential()
for inputs, outputs in ((1, 16), (16, 24), (24, 32), (32, 48)):
    network.extend([nn.Conv1d(inputs, outputs, 9, stride=3), nn.BatchNorm1d(outputs), nn.ReLU()])
network.extend([nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(48, N_SPEAKERS)])

speakers = np.repeat(np.arange(N_SPEAKERS), N_TRAINING)
sounds = torch.tensor(np.stack([utter(s) for s in speakers]), dtype=torch.float32)[:, None]
targets = torch.tensor(speakers)
optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
for _ in range(15):
    for batch in torch.randperm(len(sounds)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(sounds[batch]), targets[batch]).backward()
        optimizer.step()
network.eval()

# %%
# Its neurons tell natural from synthetic
# ---------------------------------------
# New utterances; every other one goes through the vocoder. The transformer takes the float
# array (n, 1, t) as it is. Speakers of the test folds are not in the training folds.

speakers = np.repeat(np.arange(N_SPEAKERS), N_UTTERANCES)
y = np.tile([0, 1], len(speakers) // 2)  # 1: synthetic
utterances = [utter(speaker) for speaker in speakers]
X = np.stack([vocode(u) if fake else u for u, fake in zip(utterances, y, strict=True)])[:, None]
with torch.inference_mode():
    named = network(torch.tensor(X, dtype=torch.float32)).argmax(1).numpy()
for label, kind in enumerate(("natural", "synthetic")):
    share = (named == speakers)[y == label].mean()
    print(f"speaker recognized in {share:.0%} of the {kind} utterances")

aucs = {}
for granularity in ("layer", "channel"):
    coverage = NeuronCoverageTransformer(network, granularity=granularity, cache="memory")
    detector = make_pipeline(coverage, StandardScaler(), LogisticRegression(max_iter=1000))
    aucs[granularity] = cross_val_score(
        detector, X, y, groups=speakers, cv=GroupKFold(4), scoring="roc_auc"
    ).mean()
    n_features = len(coverage.fit(X).get_feature_names_out())
    print(f"coverage per {granularity}: {n_features} numbers, AUC {aucs[granularity]:.3f}")

# %%
# Layer by layer
# --------------
# ``layers`` picks one layer at a time; its channels alone, and its one count.

names = NeuronCoverageTransformer(network).fit(X[:2]).layer_names_
by_layer = {"layer": [], "channel": []}
for granularity, found in by_layer.items():
    for name in names:
        coverage = NeuronCoverageTransformer(
            network, layers=name, granularity=granularity, cache="memory"
        )
        detector = make_pipeline(coverage, StandardScaler(), LogisticRegression(max_iter=1000))
        folds = cross_val_score(
            detector, X, y, groups=speakers, cv=GroupKFold(4), scoring="roc_auc"
        )
        found.append(folds.mean())
for name, one, many in zip(names, *by_layer.values(), strict=True):
    print(f"layer {name:>2}: AUC {one:.3f} of its count, {many:.3f} of its channels")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
for panel, label, kind in zip(axes, (0, 1), ("natural", "synthetic"), strict=False):
    sound = X[y == label][0, 0]
    level = 20 * np.log10(np.abs(spectrum.stft(sound)).clip(1e-3))
    panel.imshow(level, origin="lower", aspect="auto", extent=(0, LENGTH / RATE, 0, RATE / 2))
    panel.set(title=kind, xlabel="time (s)", ylabel="frequency (Hz)")
for granularity, found in by_layer.items():
    line = axes[2].plot(names, found, marker="o", label=f"one layer, per {granularity}")
    color = line[0].get_color()
    axes[2].axhline(aucs[granularity], ls="--", color=color, label=f"all, per {granularity}")
axes[2].set(xlabel="layer", ylabel="AUC", title="natural or synthetic?")
axes[2].legend(fontsize=8, loc="lower left")
