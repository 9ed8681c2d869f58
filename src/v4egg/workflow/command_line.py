"""The command line: ``v4egg inspect``, ``v4egg init`` and ``v4egg check``. None of them imports torch."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

import v4egg
from v4egg.errors import V4eggError
from v4egg.registry import known_names, load
from v4egg.workflow.commands import COMMANDS

_HEAD = "v4egg: from recordings to the images that excite neurons"


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        words: the words after ``v4egg``; by default those that the program was started with.

    Returns:
        The exit code: 0, 1 if the command found a mistake, 2 if it was called wrongly.

    Example:
        >>> main(["--version"])
        v4egg ...
        0
    """
    words = list(sys.argv[1:] if words is None else words)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"v4egg {v4egg.__version__}")
        return 0
    if words[0] not in COMMANDS:
        print(f"error: there is no command '{words[0]}'; {known_names(words[0], COMMANDS)}", file=sys.stderr)
        return 2
    return _run(words[0], words[1:])


def _overview() -> str:
    """All commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = [f"  v4egg {name:<{width}}  {entry.label}" for name, entry in COMMANDS.items()]
    return "\n".join(
        [_HEAD, "", *lines, "", "v4egg COMMAND --help tells more; snakemake runs the workflow (README.md)"]
    )


def _run(name: str, words: Sequence[str]) -> int:
    command = load(COMMANDS[name].target)()
    parser = argparse.ArgumentParser(f"v4egg {name}", description=command.__doc__)
    command.add_arguments(parser)
    try:
        arguments = parser.parse_args(words)
    except SystemExit as stop:  # of --help, or of wrong arguments, which the parser has explained
        return int(stop.code or 0)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="hdmf|pynwb")  # of namespaces and versions, of no use to readers
            code = command.run(arguments)
        sys.stdout.flush()
        return int(code)
    except V4eggError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
