"""Timing: the best of some rounds, ways taken in turns, and the same counts computed otherwise."""

import time

import numpy as np
import torch

from skfakespotter import NeuronCoverageTransformer


def synchronize(device):
    """Wait for a GPU, so that seconds are seconds."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device):
    """Return a GPU's own name, or what torch calls the device."""
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def time_in_turns(ways, rounds, device=None):
    """Time several ways in turns, so that their ratios hold on a noisy machine.

    Parameters
    ----------
    ways : dict of str to callable
        What to time.
    rounds : int
        How often; one round before them warms up, and compiles.
    device : torch.device, default=None
        To wait for.

    Returns
    -------
    dict of str to float
        The least seconds of each way.
    """
    seconds = dict.fromkeys(ways, np.inf)
    for number in range(rounds + 1):
        for name, run in ways.items():
            synchronize(device)
            start = time.perf_counter()
            run()
            synchronize(device)
            if number > 0:
                seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


def with_thresholds_of(fitted, **parameters):
    """Make a transformer that counts at the thresholds of another, computed in another way.

    Parameters
    ----------
    fitted : NeuronCoverageTransformer
        Whose thresholds are taken, and all parameters but these.
    **parameters
        What is to differ, such as ``device`` or ``precision``.

    Returns
    -------
    NeuronCoverageTransformer
        It transforms.
    """
    return NeuronCoverageTransformer.from_thresholds(
        fitted.thresholds_,
        layer_names=fitted.layer_names_,
        n_neurons=fitted.n_neurons_,
        n_channels=fitted.n_channels_,
        backbone_fingerprint=fitted.backbone_fingerprint_,
        **{**fitted.get_params(deep=False), **parameters},
    )


def best(run, rounds):
    """Return the least seconds of one way."""
    return time_in_turns({"": run}, rounds)[""]
