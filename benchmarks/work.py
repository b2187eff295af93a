"""Work: results of finished stages on disk, so that an interrupted run continues."""

import json
import os
import time
from pathlib import Path

import joblib
from tqdm import tqdm


class Work:
    """A folder of results; what is there is never computed again.

    Parameters
    ----------
    folder : path
        Where the results lie; made when it does not exist.
    """

    def __init__(self, folder):
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)

    def claim(self, **options):
        """Refuse a folder that holds results of a run with other options.

        Raises
        ------
        ValueError
            Naming both.
        """
        file, options = self.folder / "options.json", json.loads(json.dumps(options))
        if file.exists() and (kept := json.loads(file.read_text(encoding="utf-8"))) != options:
            raise ValueError(
                f"{str(self.folder)!r} holds results of a run with {kept}; this one has {options}: "
                "pass another --work."
            )
        file.write_text(json.dumps(options), encoding="utf-8")

    def has(self, name):
        """Say whether a result is there."""
        return self._file(name).exists()

    def save(self, name, result):
        """Keep a result under a name; the file appears whole or not at all."""
        file = self._file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{os.getpid()}-{file.name}")
        joblib.dump(result, unfinished)
        unfinished.rename(file)
        return result

    def load(self, name, *, mapped=False):
        """Load a result; ``mapped`` leaves its arrays on disk, where processes share them."""
        return joblib.load(self._file(name), mmap_mode="r" if mapped else None)

    def once(self, name, compute):
        """Load a result as mapped arrays, or compute and keep it first."""
        if not self.has(name):
            self.save(name, compute())
        return self.load(name, mapped=True)

    def took(self, name, seconds):
        """Note how long a stage took."""
        with open(self.folder / "seconds.csv", "a", encoding="utf-8") as file:
            file.write(f"{name};{seconds:.2f}\n")

    def seconds(self):
        """Return the seconds of each stage, of its last run."""
        file = self.folder / "seconds.csv"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return {name: float(took) for name, took in (line.split(";") for line in lines)}

    def _file(self, name):
        return self.folder / f"{name}.joblib"


def run_stages(work, stages):
    """Run what has no result yet, showing the time left.

    Parameters
    ----------
    work : Work
        Where results lie.
    stages : list of (str, float, callable)
        Name of the result, expected cost (any one unit), and what computes it.
    """
    left = [stage for stage in stages if not work.has(stage[0])]
    bar = tqdm(
        total=round(sum(cost for _, cost, _ in left)),
        bar_format="{percentage:3.0f} % [{elapsed}, {remaining} left] {desc}",
        mininterval=2,
    )
    with bar:
        for name, cost, compute in left:
            bar.set_description_str(name)
            start = time.perf_counter()
            work.save(name, compute())
            work.took(name, time.perf_counter() - start)
            bar.update(round(cost))
