"""An attacker who knows the detector, one like it, or its scores: what passes, and at what price.

    python benchmarks/adversarial.py --data FOLDER [--work FOLDER] [--out FOLDER] [--n 60]
        [--test 10] [--epsilon 1 2 4 8] [--queries 100] [--weights FILE]

FOLDER/stylegan holds ``real/`` and ``fake/``. Detectors are trained on n aligned faces of each
class, as they are or with perturbed copies, and asked about attacked faces that they were not
trained on: attacked through the detector itself (white box), through another one (transfer) or with
nothing but scores (queries). ``--weights`` takes those of MobileFaceNet (``examples/recipes``), for
transfer between networks. Measurements lie in the work folder: a run that was stopped goes on.
"""

from functools import cached_property, partial
from pathlib import Path
from time import perf_counter

import numpy as np
from options import find_recipes, make_parser
from pairs import list_pictures
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from table import save_table
from work import Work, run_stages

from skfakespotter import (
    AdversarialAttack,
    AugmentedClassifier,
    FaceAligner,
    QueryAttack,
    detection_report,
    load_backbone,
    make_fakespotter,
)
from skfakespotter.baselines import FaceEmbedding
from skfakespotter.evaluation import PerceptualBound, structural_similarity

PAIR = "stylegan"
RECIPE = "recipes.mobilefacenet:mobilefacenet"
PLAIN, AUGMENTED, OTHER = "faces", "faces and perturbed copies", "faces, MobileFaceNet"
ALIGNER = FaceAligner(on_missing="center")
COLUMNS = ("detector trained on", "attack", "epsilon (of 255)", "bound", "AUC", "low", "high")
COLUMNS += ("fakes that pass", "similarity", "distance of persons", "seconds a picture")


class Bench:
    """The faces and the fitted detectors, made when a stage asks for them.

    Parameters
    ----------
    options : Namespace
        Of the command line.
    """

    def __init__(self, options):
        self.options = options

    @cached_property
    def faces(self):
        """Faces and labels to train on, and to attack."""
        paths, y, _ = list_pictures(self.options.data, PAIR)
        order = np.random.default_rng(0).permutation(len(y))
        sides, n = [order[y[order] == label] for label in (0, 1)], self.options.n
        train = np.concatenate([side[:n] for side in sides])
        test = np.concatenate([side[n : n + self.options.test] for side in sides])
        return [
            (np.stack(ALIGNER.transform(paths[rows].tolist())), y[rows]) for rows in (train, test)
        ]

    @cached_property
    def detectors(self):
        """Fitted detectors by what they were trained on."""
        linear = LogisticRegression(C=0.01, max_iter=1000)
        common = {"granularity": "channel", "align": False, "classifier": linear}
        plain = make_fakespotter(**common)
        unfitted = {PLAIN: plain, AUGMENTED: AugmentedClassifier(plain, random_state=0)}
        if self.options.weights is not None:
            find_recipes()
            network = load_backbone(RECIPE, weights=self.options.weights)
            unfitted[OTHER] = make_fakespotter(network, **common)
        return {name: clone(one).fit(*self.faces[0]) for name, one in unfitted.items()}

    def measure(self, make_attack):
        """Attack the faces and return what all detectors say of them, and what it took."""
        (faces, _), start = self.faces[1], perf_counter()
        attacked = faces if make_attack is None else make_attack(self.detectors).transform(faces)
        seconds = (perf_counter() - start) / len(faces)
        embedding = FaceEmbedding()
        apart = embedding.transform(attacked) - embedding.transform(faces)
        pairs = zip(faces, attacked, strict=True)
        return {
            "scores": {n: d.predict_proba(attacked)[:, 1] for n, d in self.detectors.items()},
            "similarity": np.mean([structural_similarity(*pair) for pair in pairs]),
            "distance": np.linalg.norm(apart, axis=1).mean(),
            "seconds": seconds if make_attack else 0.0,
        }


def list_attacks(options):
    """Return by (kind, through, epsilon, bound) what makes the attack from the detectors."""
    names = [PLAIN, AUGMENTED, *([OTHER] if options.weights is not None else [])]
    attacks = {("none", "", 0, ""): None}
    for epsilon in options.epsilon:
        attacks["gradient", PLAIN, epsilon, ""] = partial(by_gradient, PLAIN, epsilon, None)
    most = max(options.epsilon)
    attacks["queries", PLAIN, most, ""] = partial(by_queries, PLAIN, most, options.queries)
    for name in names[1:]:
        for epsilon in options.epsilon:
            attacks["gradient", name, epsilon, ""] = partial(by_gradient, name, epsilon, None)
    bounds = {
        "similarity 0.95": PerceptualBound(0.95),
        "one person": PerceptualBound(identity=FaceEmbedding(), max_distance=0.6),
    }
    for label, bound in bounds.items():
        attacks["gradient", PLAIN, most, label] = partial(by_gradient, PLAIN, most, bound)
    return attacks


def by_gradient(name, epsilon, bound, detectors):
    """Make the attack that follows the gradient of a detector."""
    return AdversarialAttack(detectors[name], epsilon, bound=bound)


def by_queries(name, epsilon, n_queries, detectors):
    """Make the attack that asks a detector for scores."""
    return QueryAttack(detectors[name], epsilon, n_queries=n_queries)


def list_rows(bench, work):
    """List what every detector says under every attack."""
    y, rows = bench.faces[1][1], []
    for kind, through, epsilon, bound in list_attacks(bench.options):
        if not work.has(name := name_of(kind, through, epsilon, bound)):
            continue  # a run that was stopped
        found = work.load(name)
        for detector, scores in found["scores"].items():
            own = {"gradient": "white box", "queries": f"{bench.options.queries} queries"}
            attack = own.get(kind, kind)
            if kind != "none" and through != detector:
                attack = f"transfer ({attack}, {through})"
            report = detection_report(y, scores)
            figures = [*report["AUC"], report["FNR"].value, found["similarity"], found["distance"]]
            cells = [f"{value:.3f}" for value in figures]
            rows.append(
                [detector, attack, f"{epsilon:g}", bound, *cells, f"{found['seconds']:.2f}"]
            )
    return rows


def name_of(*key):
    """Name the stage of an attack."""
    return "-".join(str(part) for part in key if part != "").replace(" ", "_")


def main(arguments=None):
    """Train, attack, save."""
    parser = make_parser(__doc__, data="stylegan/, which holds real/ and fake/")
    parser.add_argument("--work", type=Path, default=Path("adversarial_work"))
    parser.add_argument("--n", type=int, default=60, help="training faces of each class")
    parser.add_argument("--test", type=int, default=10, help="attacked faces of each class")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1, 2, 4, 8], help="levels")
    parser.add_argument("--queries", type=int, default=100, help="scores asked for, a face")
    parser.add_argument("--weights", type=Path, help="of MobileFaceNet, to attack from")
    options = parser.parse_args(arguments)
    work, bench = Work(options.work), Bench(options)
    known = {"n": options.n, "test": options.test, "queries": options.queries}
    work.claim(data=str(options.data.resolve()), detector=ALIGNER.detector, **known)
    stages = [
        (name_of(*key), 1 + 10 * (key[0] == "queries"), partial(bench.measure, make))
        for key, make in list_attacks(options).items()
    ]
    run_stages(work, stages)
    write(bench, work)


def write(bench, work):
    """Save the table of what is there."""
    options = bench.options
    words = [f"--n {options.n}", f"--test {options.test}", f"--queries {options.queries}"]
    words += [f"--epsilon {' '.join(f'{epsilon:g}' for epsilon in options.epsilon)}"]
    words += ["--weights FILE"] if options.weights is not None else []
    save_table(
        options.out,
        "adversarial",
        "An attacker who knows the detector",
        f"python benchmarks/adversarial.py --data FOLDER {' '.join(words)}",
        COLUMNS,
        list_rows(bench, work),
        [
            f"Faces of FFHQ and StyleGAN, found by {ALIGNER.detector!r} and aligned; "
            f"{options.n} of each class to train on, {options.test} to attack. Coverage per "
            "channel, logistic regression. White box: ten steps of projected gradient descent. "
            "Similarity: structural, mean; distance of persons: of dlib's descriptors before and "
            "after, mean (below 0.6 is one person).",
        ],
    )


if __name__ == "__main__":
    main()
