"""Reader of a plain folder: a table of presentations, image files, and spikes or counts.

::

    presentations.csv    onset, offset (s), stimulus: one row per presentation
    images/              image files, in subfolders as well
    spikes.csv           unit, time (s): one row per spike
    units.csv            unit, and anything that is known of it; may be absent
    recorded.csv         unit, start, stop (s): when units were recorded; may be absent

Tables are CSV or Parquet (:mod:`v4egg.io.tables`). Spikes may be arrays as well
(:mod:`v4egg.recordings.readers.folder_spikes`), and counts may take their place
(:mod:`v4egg.recordings.readers.folder_counts`). Names of files and columns are keys of the configuration.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.recordings.outline import Outline
from v4egg.recordings.readers.description import Description
from v4egg.recordings.readers.folder_layout import Layout, layout_of
from v4egg.recordings.readers.folder_session import OFFSET, ONSET, pictures, understand
from v4egg.recordings.readers.image_files import opened_images
from v4egg.recordings.readers.notes import Notes
from v4egg.recordings.readers.reader import ReaderOptions
from v4egg.recordings.recording import SPIKES_PER_WINDOW, Recording
from v4egg.recordings.sources import Source
from v4egg.registry import Options, PathText, checked

_SAMPLE = 20  # images that an outline looks at


class FolderColumns(Options):
    """Names of files in the folder and of columns in its tables; what is not given has its usual name."""

    table: str | None = Field(
        None, description="Table of the presentations; null: presentations.csv, .tsv or .parquet."
    )
    start: str = Field(ONSET, description="Column of the onset in seconds; counts do without.")
    stop: str = Field(OFFSET, description="Column of the offset in seconds; it may be absent.")
    stimulus: str = Field("stimulus", description="Column that names the image.")
    presentations_filter: dict[str, Any] | None = Field(
        None,
        description="Presentations to keep, by value or list of values of a column, such as {outcome: correct}; {}: "
        "all; null: all, but a table that marks some as aborted is refused.",
    )
    blank: list[str | int | float] | None = Field(
        None,
        description="Stimuli that mean no image; null: empty, nan, none, null, n/a, na, blank and omitted. Negative "
        "numbers and missing values always do.",
    )
    images: str | None = Field(
        None, description="Folder or zip file of the images; null: images, images.zip, or the only one with images."
    )
    number_from: Literal[0, 1, "name"] | None = Field(
        None,
        description="How whole-number stimuli count: positions from 0 or from 1, or name for the number in the image's "
        "name; null: as names tell.",
    )
    pixel_range: list[float] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="Values that are black and white; null: as dtype and values tell, else refused.",
    )
    image_size: int | None = Field(
        None,
        ge=8,
        description="Pixels of the shorter side to which images are reduced as they are read; null: as they are.",
    )
    spikes: str | None = Field(
        None,
        description="Spike times: a table, a .npz or a folder of .npy with an array per unit, or a .npy of all times; "
        "null: spikes with one of these endings, or spike_times.npy.",
    )
    spike_units: str | None = Field(
        None, description="The unit of each time in a .npy of all times; null: spike_units.npy or spike_clusters.npy."
    )
    sampling_rate: float | None = Field(
        None, gt=0, description="Units of the spike times per second, such as 30000 for samples; null: they are in s."
    )
    unit: str = Field("unit", description="Column of the unit, in the tables of spikes and units.")
    time: str = Field("time", description="Column of the spike times in seconds.")
    counts: str | None = Field(
        None,
        description="Responses instead of spikes: a table or .npy of presentations by units, or a .npy of units, "
        "images and repeats; null: counts.csv, .tsv, .parquet or .npy.",
    )
    image_order: str | None = Field(
        None,
        description="Table whose first column names the images in the order of counts; null: images.csv, else that of "
        "the files, if their names sort in one way only.",
    )
    units: str | None = Field(None, description="Table of the units; null: units.csv, .tsv or .parquet, else none.")
    unit_filter: dict[str, Any] | None = Field(
        None,
        description="Units to keep, by value or list of values of a column of their table, such as {area: V4}; null: "
        "all.",
    )
    recorded: str | None = Field(
        None,
        description="Table with the columns start and stop, in seconds, and that of units if they differ: when units "
        "were recorded; null: recorded.csv, .tsv or .parquet, else as long as there are spikes.",
    )


class Folder(ReaderOptions):
    """A plain folder: a table of presentations, image files, and spikes or counts."""

    folder: PathText = Field(description="Path of the folder.")
    columns: FolderColumns = FolderColumns()
    repeats: int = Field(1, ge=1, description="Trials behind each entry of counts that are means.")
    response_unit: str = Field(
        SPIKES_PER_WINDOW,
        description="Unit of counts; another one where they are no counts of spikes and may be negative.",
    )

    def read(self, session: str, path: str, background: float = 0.5) -> Recording:
        """See :func:`read_folder`."""
        return read_folder(
            path,
            session,
            columns=self.columns.model_dump(),
            repeats=self.repeats,
            response_unit=self.response_unit,
            background=background,
        )

    @classmethod
    def describe(cls, path: Path) -> Description | None:
        """See :func:`v4egg.recordings.readers.folder_description.describe_folder`."""
        from v4egg.recordings.readers.folder_description import describe_folder  # which uses this class

        return describe_folder(path)

    def outline(self, session: str, path: str) -> Outline:
        """See :func:`outline_folder`."""
        return outline_folder(path, session, self.columns.model_dump(), self.repeats)


def read_folder(
    path: str | Path,
    session: str,
    *,
    columns: Mapping[str, Any] | None = None,
    repeats: int = 1,
    response_unit: str = SPIKES_PER_WINDOW,
    background: float = 0.5,
) -> Recording:
    """Read a session from a plain folder.

    Args:
        path: the folder.
        session: session id; unit ids are ``<session>-u<row>`` with the row in the table of units, also after filtering,
            and without one the position in the natural order of the units' names.
        columns: names of files and columns, by the fields of :class:`FolderColumns`.
        repeats: trials behind each entry of counts.
        response_unit: unit of counts.
        background: grey level behind transparent images, in units of [0, 1].

    Returns:
        The recording, with spikes, trials and when units were recorded, or with counts. ``units`` has the column
        ``unit_name``, and those of the table of units.

    Raises:
        V4eggError: a file is missing or unreadable, a table lacks a column, files do not fit each other, or they can be
            understood in several ways.
    """
    path = Path(path)
    names: dict[str, Any] = checked(FolderColumns, dict(columns or {}), f"{path}: columns").model_dump()
    layout, notes = layout_of(path, names), Notes()
    with opened_images(layout.images) as files:
        found = understand(layout, session, names, files, notes)
        images = pictures(layout, files, found.image_names, names, background)
    return Recording(
        session=session,
        images=images,
        units=found.units,
        image_ids=found.image_names,
        trials=found.trials,
        spikes=found.spikes,
        counts=found.counts,
        repeats_averaged=repeats,
        attrs={"source": path.name},
        recorded=found.recorded,
        left_out=notes.left_out,
        warnings=notes.warnings,
        response_unit=response_unit,
    )


def outline_folder(path: str | Path, session: str, columns: Mapping[str, Any], repeats: int = 1) -> Outline:
    """The session in a plain folder in numbers; some of its images are looked at.

    Args:
        path: the folder.
        session: session id.
        columns: by the fields of :class:`FolderColumns`.
        repeats: trials behind each entry of counts.

    Raises:
        V4eggError: as :func:`read_folder`, as far as that is found without reading all images.
    """
    path = Path(path)
    names: dict[str, Any] = checked(FolderColumns, dict(columns), f"{path}: columns").model_dump()
    layout, notes = layout_of(path, names), Notes()
    with opened_images(layout.images) as files:
        found = understand(layout, session, names, files, notes)
        step = max(1, len(found.image_names) // _SAMPLE)
        some = pictures(layout, files, found.image_names[::step], names, 0.5)
    shape = (int(some.shape[1]), int(some.shape[2]), int(some.shape[3]))
    return Outline(
        len(found.image_names), shape, len(found.units), found.shown * repeats, notes.left_out, notes.warnings
    )


class FolderFiles(Source):
    """The files of a plain folder."""

    own = True

    @property
    def path(self) -> str:
        """The folder."""
        return str(self.options["folder"])

    def _layout(self) -> Layout:
        return layout_of(self.path, self.options.get("columns") or {})

    def files(self) -> list[str]:
        """Tables and arrays, and the images where they are a zip file."""
        layout = self._layout()
        return [str(path) for path in [*layout.tables, layout.images] if path.is_file()]

    def folders(self) -> list[str]:
        """Images, and the arrays of units where each has one."""
        layout = self._layout()
        return [str(path) for path in (layout.images, layout.spikes) if path is not None and path.is_dir()]

    def check(self, named: bool) -> None:
        """Refuse a folder that is not there or lacks a file."""
        try:
            self._layout()
        except V4eggError as error:
            raise V4eggError(f"sessions.{self.session}: {error}") from None

    def counts_spikes(self) -> bool:
        """Whether the configuration says nothing else."""
        return bool(self.options.get("response_unit", SPIKES_PER_WINDOW) == SPIKES_PER_WINDOW)
