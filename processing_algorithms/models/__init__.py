"""Models: training, evaluation, their cards."""
