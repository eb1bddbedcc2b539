"""Architectures, the table of them, and the model file."""
