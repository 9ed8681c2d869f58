"""The readers by name, each from a session's files to a Recording; known without importing their code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from v4egg.errors import V4eggError
from v4egg.images.aspect import Rule, square
from v4egg.images.pixels import grey_if_equal
from v4egg.registry import Entry, Registry, load, options_of

if TYPE_CHECKING:
    from v4egg.recordings.outline import Outline
    from v4egg.recordings.readers.description import Description, Question
    from v4egg.recordings.recording import Recording

READERS: Registry = {
    "simulated": Entry("v4egg.simulation.session:Simulated", source="v4egg.recordings.sources:SimulatedFile"),
    "nwb": Entry("v4egg.recordings.readers.nwb:Nwb", label="NWB", source="v4egg.recordings.sources:NwbFile"),
    "cowley": Entry(
        "v4egg.recordings.readers.cowley:Cowley",
        label="Cowley et al.",
        source="v4egg.recordings.readers.cowley:PublicLayout",
    ),
    "folder": Entry("v4egg.recordings.readers.folder:Folder", source="v4egg.recordings.readers.folder:FolderFiles"),
    "brainscore": Entry(
        "v4egg.recordings.readers.brainscore:BrainScore",
        label="Brain-Score",
        source="v4egg.recordings.readers.brainscore:BrainScoreFiles",
    ),
    "tvsd": Entry("v4egg.recordings.readers.tvsd:Tvsd", label="TVSD", source="v4egg.recordings.readers.tvsd:TvsdFiles"),
}
SHARED = ("format", "split", "min_repeats", "judge")  # keys of a session that are no options of its reader


def reader_options(source: Mapping[str, Any]) -> dict[str, Any]:
    """Of a session's entry in the configuration, the options of its reader."""
    return {key: value for key, value in source.items() if key not in SHARED}


def read_recording(
    session: str, source: Mapping[str, Any], path: str, *, aspect: Rule | None = None, background: float = 0.5
) -> Recording:
    """Read one session. Its images are made square; RGB images that are all grey get one channel.

    An RGB image with three equal channels is grey. Where all images of a recording are, the neurons were shown no
    colour, and images for them are made in grey (see :func:`v4egg.recordings.splits.make_splits`).

    Args:
        session: its id.
        source: its entry under ``sessions`` in the configuration; ``format`` names the reader.
        path: what the reader opens: the file (nwb, simulated) or the folder in the published layout (cowley).
        aspect: what becomes of images that are not square, as in :func:`v4egg.images.aspect.square`.
        background: grey level behind transparent images and of bars, in units of [0, 1].

    Raises:
        V4eggError: no reader has that name, an option is unknown or impossible, images are not square and there is no
            rule for them, or the reader's own.
    """
    recording: Recording = _reader(session, source).read(session, path, background)
    images = square(grey_if_equal(recording.images), aspect, background, f"session {session}")
    told = [] if images.shape[1] == recording.images.shape[1] else ["images are stored as RGB and all of them are grey"]
    return replace(recording, images=images, warnings=[*recording.warnings, *told])


def outline_recording(
    session: str, source: Mapping[str, Any], path: str, *, aspect: Rule | None = None, background: float = 0.5
) -> Outline:
    """One session in numbers, read as far as these need it; arguments and errors as in :func:`read_recording`."""
    outline: Outline = _reader(session, source).outline(session, path)
    if outline.shape is None:
        return outline
    one = square(np.zeros(outline.shape, np.uint8), aspect, background, f"session {session}")
    return replace(outline, shape=one.shape)


def _reader(session: str, source: Mapping[str, Any]) -> Any:
    return options_of(READERS, source["format"], reader_options(source), f"sessions.{session}: reader")


def describe(path: str | Path) -> Description:
    """What a file holds and what its reader would take as what, without reading it as a whole.

    Args:
        path: a file or a folder of any format that a reader describes.

    Raises:
        V4eggError: it is not there, no reader knows it, or it cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise V4eggError(f"{path}: no such file or folder; correct the path")
    known = {name: entry for name, entry in READERS.items() if name != "simulated"}  # simulated files are NWB files
    for entry in known.values():
        description: Description | None = load(entry.target).describe(path)
        if description is not None:
            description.questions += _aspect(description)
            return description
    names = ", ".join(entry.label or name for name, entry in known.items())
    raise V4eggError(f"{path}: not a recording that a reader can describe ({names}); convert it to NWB")


def _aspect(description: Description) -> list[Question]:
    """What to do with images that are not square, which is no option of a reader."""
    from v4egg.recordings.readers.description import Answer, Question  # planning a run imports this module, not pandas

    shape = description.outline.shape if description.outline else None
    if shape is None or shape[1] == shape[2]:
        return []
    text = f"images are {shape[2]} x {shape[1]} px (width x height), not square"
    crop = Answer("crop", "the central square")
    return [Question("images.aspect", text, (crop, Answer("pad", "the whole image, with bars of images.background")))]
