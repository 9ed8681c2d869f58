"""The readers by name, each from a session's files to a Recording; known without importing their code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from v4egg.registry import Entry, Registry, options_of

if TYPE_CHECKING:
    from v4egg.recordings.recording import Recording

READERS: Registry = {
    "simulated": Entry("v4egg.simulation.session:Simulated", source="v4egg.recordings.sources:SimulatedFile"),
    "nwb": Entry("v4egg.recordings.readers.nwb:Nwb", label="NWB"),
    "cowley": Entry(
        "v4egg.recordings.readers.cowley:Cowley",
        label="Cowley et al.",
        source="v4egg.recordings.readers.cowley:PublicLayout",
    ),
}
SHARED = ("format", "split", "min_repeats", "judge")  # keys of a session that are no options of its reader


def reader_options(source: Mapping[str, Any]) -> dict[str, Any]:
    """Of a session's entry in the configuration, the options of its reader."""
    return {key: value for key, value in source.items() if key not in SHARED}


def read_recording(session: str, source: Mapping[str, Any], path: str) -> Recording:
    """Read one session.

    Args:
        session: its id.
        source: its entry under ``sessions`` in the configuration; ``format`` names the reader.
        path: what the reader opens: the file (nwb, simulated) or the folder in the published layout (cowley).

    Raises:
        V4eggError: no reader has that name, an option is unknown or impossible, or the reader's own.
    """
    where = f"sessions.{session}: reader"
    return options_of(READERS, source["format"], reader_options(source), where).read(session, path)
