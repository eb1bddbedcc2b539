"""Processing algorithms, one a file, and the runner of the worker process."""
