"""How an NWB file is understood: which units, which presentations, which images, and which image each of them showed.

Reading and describing a file share :func:`understand`. What it can not decide it asks as an
:class:`~v4egg.recordings.readers.nwb_file.OpenQuestion`, which names the key that answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hdmf.container import AbstractContainer
from pynwb import NWBFile

from v4egg.errors import V4eggError
from v4egg.recordings.readers.notes import Notes
from v4egg.recordings.readers.nwb_images import ImageSource, choose_source, objects_source, source_of, with_axes
from v4egg.recordings.readers.nwb_matching import images_of_ids
from v4egg.recordings.readers.nwb_presentations import read_presentations
from v4egg.recordings.readers.nwb_tables import FrameOf
from v4egg.recordings.readers.nwb_units import UnitTable, read_units
from v4egg.recordings.readers.presented import Presentations

DEFAULT_COLUMNS: dict[str, Any] = {
    "table": None,
    "start": "start_time",
    "stop": "stop_time",
    "stimulus": "stimulus_id",
    "stimulus_table": None,
    "stimulus_name": None,
    "presentations_filter": None,
    "blank": None,
    "images": None,
    "image_names": None,
    "number_from": None,
    "axes": None,
    "pixel_range": None,
    "units": None,
    "unit_filter": None,
}


@dataclass
class Understanding:
    """What is taken as what in a file, before spikes and pixels are read.

    Attributes:
        units: its units.
        shown: the presentations that show an image, by onset.
        source: the images.
        position: int64 (presentation,), which of the images each presentation shows.
        by_content: whether each presentation has a frame of its own in a series, so that repeats are found by pixels.
    """

    units: UnitTable
    shown: Presentations
    source: ImageSource
    position: np.ndarray
    by_content: bool


def understand(path: Path, nwb: NWBFile, session: str, names: Mapping[str, Any], notes: Notes) -> Understanding:
    """Decide what is what in a file, without reading spikes or pixels.

    Args:
        path: the NWB file.
        nwb: its content.
        session: session id, the beginning of unit ids.
        names: the keys of :data:`DEFAULT_COLUMNS`.
        notes: of what is taken, left out and worth a look.

    Raises:
        OpenQuestion: something that a key of ``columns`` decides.
        V4eggError: the file lacks a table, a column or an image.
    """
    units = read_units(path, nwb, session, names, notes)
    shown = read_presentations(path, nwb, names, notes)
    source, position = _images_shown(path, nwb, shown, names, notes)
    of_series = shown.where == source.where or isinstance(shown.ids[0], FrameOf)
    by_content = of_series and len(np.unique(position)) == len(position)
    return Understanding(units, shown, with_axes(path, nwb, source, names["axes"], notes), position, by_content)


def _images_shown(
    path: Path, nwb: NWBFile, shown: Presentations, names: Mapping[str, Any], notes: Notes
) -> tuple[ImageSource, np.ndarray]:
    """The images, and for each presentation the position of its image among them."""
    objects = [isinstance(value, AbstractContainer | FrameOf) for value in shown.ids]
    if all(objects):
        source, position = objects_source(path, nwb, shown.ids)
        notes.take("columns.images", source.where, f"what {shown.column} refers to")
        return source, position
    if any(objects):
        raise V4eggError(f"{path}: {shown.column} mixes references and names; give one kind")
    if shown.images is not None and names["images"] is None:
        source = source_of(path, nwb, shown.images)
        notes.take("columns.images", source.where, f"what {shown.where} shows")
    else:
        source = choose_source(path, nwb, names["images"], notes)
    return images_of_ids(path, nwb, source, shown, names, notes)
