"""Coverage: the method of the paper, from a network's outputs to thresholds and counts."""
