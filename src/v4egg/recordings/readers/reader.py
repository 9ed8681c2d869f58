"""What every reader is: options, and a way from a session's files to a Recording."""

from abc import abstractmethod
from pathlib import Path

from v4egg.recordings.outline import Outline, outline_of
from v4egg.recordings.readers.description import Description
from v4egg.recordings.recording import Recording
from v4egg.registry import Options


class ReaderOptions(Options):
    """Base of the options of readers."""

    @abstractmethod
    def read(self, session: str, path: str, background: float = 0.5) -> Recording:
        """The recording of a session, its images in the sides and colours that they are stored with.

        Args:
            session: its id.
            path: what is opened, a file or a folder.
            background: grey level, in units of [0, 1], that shows where images are transparent.
        """

    def outline(self, session: str, path: str) -> Outline:
        """The recording of a session in numbers, for `v4egg check`.

        A reader whose files may be large overrides this, and leaves pixels and spikes unread.

        Args:
            session: its id.
            path: what is opened, a file or a folder.
        """
        return outline_of(self.read(session, path))

    @classmethod
    def describe(cls, path: Path) -> Description | None:
        """What a file of this format holds, without reading it as a whole; for `v4egg inspect` and `v4egg init`.

        Args:
            path: a file or a folder.

        Returns:
            None if it is not of this format, or the format can not be described.

        Raises:
            V4eggError: it is of this format, and cannot be read.
        """
        return None
