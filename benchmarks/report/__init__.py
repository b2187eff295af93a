"""Parts of ``benchmarks/paper.py``: pictures, network, detectors, stages, writing."""
