"""Devices: where tensors are computed, and in which precision."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

from skfakespotter._forking import ForkSafeLock
from skfakespotter._typing import Device, Devices
from skfakespotter._workers import in_threads

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
_SWITCHING = ForkSafeLock()
_USERS: list[bool] = []  # of the switches at present
_BEFORE: list[tuple[object, str, object]] = []  # what they were


def resolve_device(device: Device) -> torch.device:
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
    >>> from skfakespotter._device import resolve_device
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        # "cuda" becomes "cuda:0", as tensors there call it
        return torch.empty(0, device=torch.device(device)).device
    except (RuntimeError, TypeError, AssertionError) as error:
        raise ValueError(
            f"device is {device!r}: expected 'auto', 'cpu' or a device available here ({error})."
        ) from error


def resolve_devices(device: Devices) -> list[torch.device]:
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
    >>> from skfakespotter._device import resolve_devices
    >>> resolve_devices(["cpu", "cpu"])
    [device(type='cpu'), device(type='cpu')]
    """
    if not isinstance(device, (list, tuple)):
        return [resolve_device(device)]
    if not device:
        raise ValueError("device is empty: expected 'auto', a device or a list of devices.")
    return [resolve_device(one) for one in device]


@contextmanager
def by_default(device: torch.device) -> Iterator[None]:
    """Make new tensors on a device, or on the CPU, whatever the caller has chosen as default.

    Where the default is the CPU nothing is changed: torch's own switch for it slows every small
    step.

    Parameters
    ----------
    device : torch.device
        Where.
    """
    with nullcontext() if torch.get_default_device().type == "cpu" else device:
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one CPU thread, for steps too small to share.

    On small batches threads wait for each other longer than they compute: on a busy
    machine a training step of a shallow network takes ten times as long on two threads.

    The number is a setting of the whole process, so that only the main thread touches it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(n_threads)


def on_cores(function: Callable, *items: Sequence) -> list:
    """Call :func:`in_threads` with as many threads as torch has, each of which computes on one.

    Threads that share a small network's layers wait for each other longer than they compute.
    """
    n_threads = torch.get_num_threads()
    return in_threads(function, *items, n_threads=n_threads, initializer=_use_one_core)


def _use_one_core() -> None:
    torch.get_num_threads()  # torch sets a thread's own number when it is first asked
    _openmp().limit(limits=1, user_api="openmp")


@cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Let torch compute in a precision, and put its switches back as they were.

    Parameters
    ----------
    precision : {"float32", "tf32", "bfloat16", "float16"}
        "float32" is IEEE single precision everywhere, so that a GPU agrees with a CPU (torch
        itself lets convolutions on a GPU use tf32); "tf32" rounds the factors to 10 bits of
        mantissa on GPUs that can, and is float32 elsewhere; the others are autocasts:
        convolutions and matrix products in half precision.
    device : torch.device
        Where it computes.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter._device import computing_in
    >>> with computing_in("bfloat16", torch.device("cpu")):
    ...     torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype
    torch.bfloat16
    """
    with ExitStack() as stack:
        if precision in ("bfloat16", "float16"):
            # without its cache of converted weights, which a captured graph would outlive
            half = getattr(torch, precision)
            stack.enter_context(torch.autocast(device.type, half, cache_enabled=False))
        elif device.type == "cuda":
            stack.enter_context(_switched(precision == "tf32"))
        yield


@contextmanager
def _switched(tf32: bool) -> Iterator[None]:
    """Turn torch's switches, which are those of the whole process.

    The first thread turns them and the last one turns them back. None waits for another, which
    may be waiting for this one: what starts beside another precision computes in that one.
    """
    with _SWITCHING:
        if not _BEFORE:
            for place, name, value in _switches(tf32):
                _BEFORE.append((place, name, getattr(place, name)))
                setattr(place, name, value)
        _USERS.append(tf32)
    try:
        yield
    finally:
        with _SWITCHING:
            _USERS.pop()
            while _BEFORE and not _USERS:
                setattr(*_BEFORE.pop())


def _switches(tf32: bool) -> list[tuple[object, str, object]]:
    """List torch's switches for convolutions and matrix products: object, name and value."""
    if hasattr(torch.backends.cudnn, "conv"):  # from torch 2.9 on; mixing both kinds is an error
        places = torch.backends.cudnn.conv, torch.backends.cuda.matmul
        return [(place, "fp32_precision", "tf32" if tf32 else "ieee") for place in places]
    places = torch.backends.cudnn, torch.backends.cuda.matmul
    return [(place, "allow_tf32", tf32) for place in places]
