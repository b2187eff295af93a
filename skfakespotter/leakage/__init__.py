"""Leakage: what in the data gives the label away."""

from skfakespotter.leakage._auditing import audit
from skfakespotter.leakage._findings import AuditReport, Finding
from skfakespotter.leakage._reencoding import normalise

__all__ = ["AuditReport", "Finding", "audit", "normalise"]
