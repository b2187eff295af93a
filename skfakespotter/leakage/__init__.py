"""Leakage: what in the data tells the label besides the face."""

from skfakespotter._names import public_names
from skfakespotter.leakage._auditing import audit
from skfakespotter.leakage._duplicates import MAX_DISTANCE, nearest_hashes, perceptual_hash
from skfakespotter.leakage._findings import AuditReport, Finding
from skfakespotter.leakage._groups import join_duplicates
from skfakespotter.leakage._reencoding import reencode_images

__all__ = [
    "MAX_DISTANCE",
    "AuditReport",
    "Finding",
    "audit",
    "join_duplicates",
    "nearest_hashes",
    "perceptual_hash",
    "reencode_images",
]

__getattr__, __dir__ = public_names(__name__)
