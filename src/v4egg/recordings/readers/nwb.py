"""Reader of Neurodata Without Borders (NWB) files: spikes by unit, presentations, and the images shown.

Archives differ in the names of their tables and columns, so the configuration gives a column map.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.images.pixels import range_of, scaled, stacked
from v4egg.recordings.outline import Outline
from v4egg.recordings.readers.description import Description
from v4egg.recordings.readers.notes import Notes, listed
from v4egg.recordings.readers.nwb_description import describe_nwb, outline_nwb
from v4egg.recordings.readers.nwb_file import opened
from v4egg.recordings.readers.nwb_images import equal_frames, telling_frames
from v4egg.recordings.readers.nwb_layout import DEFAULT_COLUMNS, Understanding, understand
from v4egg.recordings.readers.nwb_times import recorded_times
from v4egg.recordings.readers.reader import ReaderOptions
from v4egg.recordings.recording import Recording
from v4egg.registry import Options, PathText, checked


class Columns(Options):
    """Where an NWB file keeps what is needed; what is not given is found, or asked for if it cannot be."""

    table: str | None = Field(
        None,
        description="Table of the presentations, by name or path, or a series of images or of indices; null: the only "
        "one that has the columns of onsets and stimuli, and presentations if there are several.",
    )
    start: str = Field("start_time", description="Column of the onset in seconds; it may hold a list in each row.")
    stop: str = Field("stop_time", description="Column of the offset in seconds; NaN where it is not known.")
    stimulus: str = Field("stimulus_id", description="Column that names the image.")
    stimulus_table: str | None = Field(
        None,
        description="Table of stimuli in which the values of the stimulus column are looked up, in the column of the "
        "same name or else among its ids; null: a table with such a column, if one of its columns names the images.",
    )
    stimulus_name: str | None = Field(
        None,
        description="Column of a table of stimuli, to which the stimulus column refers, that names the image, or row "
        "for the number of the row; null: the only column that can.",
    )
    presentations_filter: dict[str, Any] | None = Field(
        None,
        description="Presentations to keep, by value or list of values of a column, such as {outcome: correct}; {}: "
        "all; null: all, but a file that marks some as aborted is refused.",
    )
    blank: list[str | int | float] | None = Field(
        None,
        description="Stimuli that mean no image; null: empty, nan, none, null, n/a, na, blank and omitted. Negative "
        "numbers and missing values always do.",
    )
    images: str | None = Field(
        None, description="Container of the images, or a folder beside the file; null: the only container."
    )
    image_names: str | None = Field(
        None, description="Column of a table, as table/column, that names the frames of a stack; null: found by itself."
    )
    number_from: Literal[0, 1, "name"] | None = Field(
        None,
        description="How whole-number stimuli count: positions from 0 or from 1, or name for the number in the image's "
        "name; null: as the file tells.",
    )
    axes: Literal["yx", "xy"] | None = Field(
        None,
        description="Order of the axes of image arrays; null: as shapes and the file tell, else yx with a warning.",
    )
    pixel_range: list[float] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="Values that are black and white; null: as dtype and values tell, else refused.",
    )
    units: str | None = Field(None, description="Table of the units, by name or path; null: /units, else the only one.")
    unit_filter: dict[str, Any] | None = Field(
        None,
        description="Units to keep, by value or list of values of a column, such as {location: V4}; null: all.",
    )


class Nwb(ReaderOptions):
    """A file in Neurodata Without Borders format."""

    file: PathText = Field(description="Path of the NWB file.")
    columns: Columns = Columns()

    def read(self, session: str, path: str, background: float = 0.5) -> Recording:
        """See :func:`read_nwb`."""
        return read_nwb(path, session, columns=self.columns.model_dump(), background=background)

    def outline(self, session: str, path: str) -> Outline:
        """See :func:`v4egg.recordings.readers.nwb_description.outline_nwb`."""
        return outline_nwb(path, session, self.columns.model_dump())

    @classmethod
    def describe(cls, path: Path) -> Description | None:
        """See :func:`v4egg.recordings.readers.nwb_description.describe_nwb`."""
        return describe_nwb(path)


def read_nwb(
    path: str | Path, session: str, *, columns: Mapping[str, Any] | None = None, background: float = 0.5
) -> Recording:
    """Read the session in an NWB file (HDF5, or a Zarr folder with the extra ``nwb-zarr``).

    Spike times stay in the file until they are asked for. Stimuli are matched with images as
    :func:`v4egg.images.names.match_names` describes, pixels are converted as :mod:`v4egg.images.pixels` does.
    Presentations that show no image and images that were never shown are left out.

    Args:
        path: the file or folder.
        session: session id; unit ids are ``<session>-u<row>`` with the row in the units table, also after filtering.
        columns: names of tables and columns, by the fields of :class:`Columns`.
        background: grey level behind transparent images, in units of [0, 1].

    Returns:
        The recording, with spikes, trials, and when each unit was recorded.

    Raises:
        V4eggError: the file is missing or unreadable, lacks a table, column, unit, spike or image, or can be understood
            in several ways.
    """
    path = Path(path)
    names = _checked(path, columns)
    notes = Notes()
    with opened(path) as nwb:
        plan = understand(path, nwb, session, names, notes)
        recorded = recorded_times(path, nwb, plan.units, plan.shown, notes)
        images, image_ids, position = _read_images(path, plan, names, background)
        attrs = {"source": path.name, "nwb_identifier": str(nwb.identifier)}
    return Recording(
        session,
        images,
        plan.units.frame[plan.units.keep],
        image_ids,
        pd.DataFrame({"image": position, "onset": plan.shown.onset, "offset": plan.shown.offset}),
        plan.units.spikes.of(plan.units.kept),
        attrs=attrs,
        recorded=recorded,
        left_out=notes.left_out,
        warnings=notes.warnings,
    )


def _checked(path: Path, columns: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(columns or {})
    unknown = sorted(set(given) - set(DEFAULT_COLUMNS))
    if unknown:
        raise V4eggError(f"{path}: unknown keys in columns: {listed(unknown)}; give only {listed(DEFAULT_COLUMNS)}")
    result: dict[str, Any] = checked(Columns, given, f"{path}: columns").model_dump()
    return result


def _read_images(
    path: Path, plan: Understanding, names: Mapping[str, Any], background: float
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """The images that were shown, uint8 (image, channel, y, x), their names, and the image of each presentation."""
    source, where = plan.source, f"{path}: {plan.source.where}"
    position = equal_frames(source, plan.position) if plan.by_content else plan.position
    used, image = np.unique(position, return_inverse=True)
    wanted = None if names["pixel_range"] is None else tuple(names["pixel_range"])
    used_range = range_of(telling_frames(source, used), where=where, value_range=wanted)
    frames = (source.frame(int(one)) for one in used)
    pictures = (scaled(frame, used_range, where=where, background=background) for frame in frames)
    images = stacked(pictures, len(used), where=where)
    return images, [source.name(int(one)) for one in used], image
