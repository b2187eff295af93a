"""Pictures: which belong to a pair, which group each is in, and their aligned faces."""

from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from pairs import describe_pair

from skfakespotter import load_folders
from skfakespotter.baselines._cues import luminance
from skfakespotter.faces._detectors import find_faces
from skfakespotter.faces._templates import crop_face
from skfakespotter.images import fit_to, load_image
from skfakespotter.leakage._duplicates import MAX_DISTANCE, nearest_hashes, perceptual_hash

CHUNK = 48  # pictures of one parallel task


class Pictures(NamedTuple):
    """Files, labels (1 fake) and groups of a pair."""

    paths: np.ndarray
    y: np.ndarray
    groups: np.ndarray


class Cropping(NamedTuple):
    """How a face is cut out; ``align=False`` takes the centre of the picture."""

    align: bool
    template: str
    size: tuple  # height and width in pixels


def list_pictures(data, pair, limit=None):
    """List the pictures of a pair, at most ``limit`` of both classes together.

    Parameters
    ----------
    data : path
        Folder with one subfolder per pair.
    pair : str
        Name of the subfolder.
    limit : int, default=None
        Takes the first ``limit // 2`` of each class.

    Returns
    -------
    Pictures
        Photographs of a paired set are groups; elsewhere each picture is its own.
    """
    bunch, facts = load_folders(data / pair), describe_pair(pair)
    y, stems = bunch.target, bunch.groups
    prefix = np.where(facts.paired, "photo", np.where(y == 1, "fake", "real"))
    groups = np.array([f"{facts.source}/{p}/{s}" for p, s in zip(prefix, stems, strict=True)])
    half = None if limit is None else limit // 2
    rows = np.concatenate([np.flatnonzero(y == label)[:half] for label in (0, 1)])
    return Pictures(np.array(bunch.data)[rows], y[rows], groups[rows])


def cut_faces(paths, cropping, attack=None, n_jobs=2):
    """Perturb pictures, find and cut their faces, and hash the pictures.

    Parameters
    ----------
    paths : sequence of str
        Files.
    cropping : Cropping
        How.
    attack : transformer, default=None
        Applied to the whole picture first.
    n_jobs : int, default=2
        Processes.

    Returns
    -------
    chips : ndarray of shape (n, h, w, 3), uint8
        Faces; the centre of the picture where none was found.
    found : ndarray of shape (n,), bool
        Where a face was found.
    hashes : ndarray of shape (n, 4), uint64
        Perceptual hashes of the whole pictures.
    """
    starts = range(0, len(paths), CHUNK)
    parts = Parallel(n_jobs)(
        delayed(cut_chunk)(paths[start : start + CHUNK], cropping, attack) for start in starts
    )
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def cut_chunk(paths, cropping, attack=None):
    """Do what :func:`cut_faces` says, in this process."""
    images = [load_image(path) for path in paths]
    if attack is not None:
        images = attack.transform(images)
    chips, found, hashes = [], [], []
    for image in images:
        faces = find_faces(image) if cropping.align else []
        if faces:
            height = cropping.size[0]
            chips.append(crop_face(image, faces[0], template=cropping.template, size=height))
        else:
            chips.append(fit_to(image, cropping.size))
        found.append(bool(faces) or not cropping.align)
        hashes.append(perceptual_hash(luminance(image)))
    return np.stack(chips), np.array(found), np.array(hashes)


def join_copies(groups, hashes):
    """Put near-duplicates of different groups into one group.

    Parameters
    ----------
    groups : ndarray of shape (n,), str
        Groups.
    hashes : ndarray of shape (n, 4), uint64
        Of :func:`~skfakespotter.leakage._duplicates.perceptual_hash`.

    Returns
    -------
    groups : ndarray of shape (n,), str
        Every picture stands in one group with its nearest near-duplicate.
    n_joined : int
        Pictures whose near-duplicate stood in another group.
    """
    joined = groups.copy()
    nearest, distance = nearest_hashes(hashes, lambda i: groups[i, None] != groups)
    copies = np.flatnonzero(distance <= MAX_DISTANCE)
    for i in copies:
        a, b = joined[i], joined[nearest[i]]
        joined[(joined == a) | (joined == b)] = min(a, b)
    return joined, len(copies)
