"""`python -m instageo_plugin.core`: the worker without arguments, else a command line of its own (`--help`)."""

import os
import sys
from typing import TextIO


def keep_streams() -> tuple[int, TextIO]:
    """A private copy of stdin and of stdout; from here on a library that prints does so on stderr, and none reads."""
    commands = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return commands, protocol


# GDAL keeps decoded blocks up to 5 % of the computer's memory; jobs go through rasters in order and need less.
GDAL_CACHE_MB = "256"


def main(arguments: list[str]) -> int:
    """Exit status: 0 done, 1 failed, 2 wrong arguments, 130 cancelled."""
    os.environ.setdefault("GDAL_CACHEMAX", GDAL_CACHE_MB)
    if arguments:
        from .cli import run_command_line

        return run_command_line(arguments, keep_streams)
    commands, protocol = keep_streams()
    from .worker import serve

    return serve(commands, protocol)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
