"""What several test modules need."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # scipy reads it when it is imported
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # to spin on busy cores costs seconds
if "PYTEST_XDIST_WORKER" in os.environ:  # a worker a core: their threads would take turns
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# torch.compile: believe what the processor says it can do, in place of compiling ten programs
# that try it, and start no processes that compile and import torch for it
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")


@pytest.fixture(scope="session")
def shared_dir():
    """Folder with `faces/`, `videos/`: SKFAKESPOTTER_DATA, or `shared` beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SKFAKESPOTTER_DATA", default))
    if not (folder / "faces").is_dir():
        pytest.skip(f"needs real faces: no {folder / 'faces'} (set SKFAKESPOTTER_DATA)")
    return folder


@pytest.fixture(scope="session")
def faces_dir(shared_dir):
    """Folder with one subfolder per pair, each with `real/` and `fake/`."""
    return shared_dir / "faces"


@pytest.fixture
def close_figures():
    """Close what a test has drawn: matplotlib warns of more than twenty open figures."""
    yield
    from matplotlib import pyplot

    pyplot.close("all")
