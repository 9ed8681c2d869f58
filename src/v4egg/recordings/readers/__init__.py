"""The readers by format: one function each from a session's source to a Recording."""

from collections.abc import Mapping
from typing import Any

from v4egg.errors import V4eggError
from v4egg.recordings.readers.cowley import read_cowley
from v4egg.recordings.readers.nwb import read_nwb
from v4egg.recordings.recording import Recording

READERS = {
    "simulated": lambda session, source, path: read_nwb(path, session),
    "nwb": lambda session, source, path: read_nwb(path, session, columns=source["columns"]),
    "cowley": lambda session, source, path: read_cowley(path, session, repeats=source.get("repeats")),
}


def read_recording(session: str, source: Mapping[str, Any], path: str) -> Recording:
    """Read one session.

    Args:
        session: its id.
        source: its entry under ``sessions`` in the configuration; ``format`` names the reader.
        path: the file (nwb, simulated) or the folder in the published layout (cowley).

    Raises:
        V4eggError: no reader has that format, or the reader's own.
    """
    if source["format"] not in READERS:
        raise V4eggError(f"sessions.{session}.format is '{source['format']}'; known: {', '.join(sorted(READERS))}")
    return READERS[source["format"]](session, source, path)
