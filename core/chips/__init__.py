"""Chip datasets: made from labels and imagery, indexed, split, read."""
