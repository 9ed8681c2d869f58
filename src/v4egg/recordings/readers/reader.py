"""What every reader is: options, and a way from a session's files to a Recording."""

from abc import abstractmethod

from v4egg.recordings.recording import Recording
from v4egg.registry import Options


class ReaderOptions(Options):
    """Base of the options of readers."""

    @abstractmethod
    def read(self, session: str, path: str) -> Recording:
        """The recording of a session.

        Args:
            session: its id.
            path: what is opened, a file or a folder.
        """
