"""Leakage: what in the data gives the label away."""

from .auditing import audit
from .findings import AuditReport, Finding
from .reencoding import normalise

__all__ = ["AuditReport", "Finding", "audit", "normalise"]
