"""Precision: in which numbers the network computes."""

from contextlib import ExitStack, contextmanager

import torch

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


@contextmanager
def computing_in(precision, device):
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
    >>> from skfakespotter.precision import computing_in
    >>> with computing_in("bfloat16", torch.device("cpu")):
    ...     torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype
    torch.bfloat16
    """
    with ExitStack() as stack:
        if precision in ("bfloat16", "float16"):
            stack.enter_context(torch.autocast(device.type, getattr(torch, precision)))
        elif device.type == "cuda":
            for place, name, value in _switches(precision == "tf32"):
                stack.callback(setattr, place, name, getattr(place, name))
                setattr(place, name, value)
        yield


def _switches(tf32):
    """List torch's switches for convolutions and matrix products: object, name and value."""
    if hasattr(torch.backends.cudnn, "conv"):  # from torch 2.9 on; mixing both kinds is an error
        places = torch.backends.cudnn.conv, torch.backends.cuda.matmul
        return [(place, "fp32_precision", "tf32" if tf32 else "ieee") for place in places]
    places = torch.backends.cudnn, torch.backends.cuda.matmul
    return [(place, "allow_tf32", tf32) for place in places]
