"""From imagery and a model to a map."""
