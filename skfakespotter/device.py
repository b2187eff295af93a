"""Devices: where tensors are computed."""

from contextlib import contextmanager

import torch


def resolve_device(device):
    """Turn the parameter ``device`` into a torch device that exists here.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes CUDA, then Apple's MPS, then the CPU.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    ValueError
        When torch does not know the device or it is not available here.

    Examples
    --------
    >>> from skfakespotter.device import resolve_device
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise ValueError(
            f"device is {device!r}: expected 'auto', 'cpu' or a device available here ({error})."
        ) from error
    return resolved


def resolve_devices(device):
    """Turn the parameter ``device`` of a transformer into torch devices.

    Parameters
    ----------
    device : str, torch.device, or sequence of them
        As for :func:`resolve_device`; of several, each gets a part of the work.

    Returns
    -------
    list of torch.device
        At least one.

    Raises
    ------
    ValueError
        When there is none, or one is not available here.

    Examples
    --------
    >>> from skfakespotter.device import resolve_devices
    >>> resolve_devices(["cpu", "cpu"])
    [device(type='cpu'), device(type='cpu')]
    """
    if not isinstance(device, (list, tuple)):
        return [resolve_device(device)]
    if not device:
        raise ValueError("device is empty: expected 'auto', a device or a list of devices.")
    return [resolve_device(one) for one in device]


@contextmanager
def one_thread():
    """Let torch compute on one CPU thread, for steps too small to share.

    On small batches threads wait for each other longer than they compute: on a busy
    machine a training step of a shallow network takes ten times as long on two threads.
    """
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(n_threads)
