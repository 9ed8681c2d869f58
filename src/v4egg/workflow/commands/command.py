"""What every command of `v4egg` is: its arguments, and what it does with them."""

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace


class Command(ABC):
    """Base of the commands. The first line of the docstring is its help."""

    @abstractmethod
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments to its parser."""

    @abstractmethod
    def run(self, arguments: Namespace) -> int:
        """Do the work; what is found goes to standard output.

        Returns:
            The exit code.

        Raises:
            V4eggError: what the user can correct; it becomes one line on standard error and exit code 1.
        """
