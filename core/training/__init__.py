"""From a chip dataset to a model file."""
