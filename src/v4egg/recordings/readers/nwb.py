"""Reader of Neurodata Without Borders (NWB) files: spikes by unit, presentations, and the images shown.

Archives differ in the names of their tables and columns, so the configuration gives a column map.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from hdmf.common import DynamicTableRegion, VectorIndex
from pydantic import Field
from pynwb import NWBHDF5IO, NWBFile
from pynwb.base import Images
from pynwb.image import ImageSeries

from v4egg.errors import V4eggError
from v4egg.recordings.readers import nwb_images
from v4egg.recordings.readers.reader import ReaderOptions
from v4egg.recordings.recording import Recording
from v4egg.registry import Options, PathText

DEFAULT_COLUMNS: dict[str, Any] = {
    "table": "presentations",
    "start": "start_time",
    "stop": "stop_time",
    "stimulus": "stimulus_id",
    "images": None,
    "unit_filter": None,
}


def read_nwb(path: str | Path, session: str, *, columns: Mapping[str, Any] | None = None) -> Recording:
    """Read the session in an NWB file (HDF5, or a Zarr folder if hdmf-zarr is installed).

    A stimulus column of names is matched with the images' names (with or without their suffix), a column of whole
    numbers with positions in the container. Presentations with an empty, NaN or negative stimulus are blanks; they and
    images that were never shown are left out. Arrays of images are read as (y, x) or (y, x, channel), as users of pynwb
    write them.

    Args:
        path: the file or folder.
        session: session id; unit ids are ``<session>-u<row>`` with the row in the units table, also after filtering.
        columns: names of tables and columns by these keys, with the defaults of :data:`DEFAULT_COLUMNS`:

            - ``table``: the intervals table of the presentations (``trials`` if the default one is absent);
            - ``start``, ``stop`` (s) and ``stimulus``: its columns;
            - ``images``: the container in the file's stimulus templates or stimuli, or a folder of image files beside
              the file; None: the only container;
            - ``unit_filter``: which units to keep, as a mapping from a column of the units table or of the first
              electrode to a value or a list of values, such as ``{location: V4}``.

    Returns:
        The recording, with spikes and trials.

    Raises:
        V4eggError: the file is missing or unreadable, or lacks a table, column, unit, spike or image.
    """
    path = Path(path)
    names = _columns(path, columns)
    with _opened(path) as nwb:
        units, spikes = _units(path, nwb, session, names["unit_filter"])
        trials = _presentations(path, nwb, names)
        source = _image_source(path, nwb, names["images"])
        images, image_ids, position = nwb_images.shown(path, source, trials.pop("stimulus"), names["stimulus"])
        attrs = {"source": path.name, "nwb_identifier": str(nwb.identifier)}
    trials.insert(0, "image", position)
    return Recording(session, images, units, image_ids, trials.reset_index(drop=True), spikes, attrs=attrs)


def _columns(path: Path, columns: Mapping[str, Any] | None) -> dict[str, Any]:
    unknown = sorted(set(columns or {}) - set(DEFAULT_COLUMNS))
    if unknown:
        raise V4eggError(f"{path}: unknown keys in columns: {_list(unknown)}; give only {_list(DEFAULT_COLUMNS)}")
    return DEFAULT_COLUMNS | dict(columns or {})


@contextmanager
def _opened(path: Path) -> Iterator[NWBFile]:
    if not path.exists():
        raise V4eggError(f"{path}: no such file; correct the path of the session's NWB file")
    if path.is_file() and not h5py.is_hdf5(path):
        raise V4eggError(f"{path}: not an HDF5 file, or cut off; give an NWB file or fetch it again")
    opener = _zarr_io(path) if path.is_dir() else NWBHDF5IO
    try:
        io = opener(str(path), mode="r", load_namespaces=True)
    except Exception as error:  # a damaged file fails in h5py or in hdmf, with many types
        raise V4eggError(f"{path}: not a readable NWB file ({_short(error)}); fetch or export it again") from error
    with io:
        try:
            nwb = io.read()
        except Exception as error:
            raise V4eggError(f"{path}: not a readable NWB file ({_short(error)}); fetch or export it again") from error
        yield nwb


def _zarr_io(path: Path) -> Any:
    try:
        from hdmf_zarr.nwb import NWBZarrIO
    except ImportError as error:
        raise V4eggError(f"{path}: a Zarr NWB file needs hdmf-zarr; install it or export the file to HDF5") from error
    return NWBZarrIO


def _units(
    path: Path, nwb: NWBFile, session: str, unit_filter: Mapping[str, Any] | None
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The units that the filter keeps, and their spike times (s, ascending)."""
    table = nwb.units
    if table is None or len(table) == 0:
        raise V4eggError(f"{path}: /units is absent or empty; give a file with sorted units")
    if "spike_times" not in table.colnames:
        raise V4eggError(f"{path}: /units has no column spike_times, only {_list(table.colnames)}; add spike times")
    frame = _scalar_columns(table)
    electrodes = _first_electrodes(path, table)
    frame = frame.join(electrodes[[name for name in electrodes if name not in frame]])
    ids = [f"{session}-u{row:03d}" for row in range(len(table))]
    frame.index = pd.Index(ids, name="unit")
    keep = np.flatnonzero(_matches(path, frame, unit_filter or {})).tolist()
    spikes = {ids[row]: _spike_times(table, row) for row in keep}
    if not any(len(times) for times in spikes.values()):
        raise V4eggError(f"{path}: no unit{' that unit_filter keeps' if unit_filter else ''} has spikes in /units")
    return frame.iloc[keep], spikes


def _matches(path: Path, frame: pd.DataFrame, unit_filter: Mapping[str, Any]) -> np.ndarray:
    keep = np.ones(len(frame), bool)
    for name, wanted in unit_filter.items():
        if name not in frame:
            raise V4eggError(f"{path}: unit_filter names the column {name}; units and electrodes have {_list(frame)}")
        keep &= frame[name].isin(wanted if isinstance(wanted, list | tuple) else [wanted]).to_numpy()
        if not keep.any():
            present = _list(sorted(map(str, frame[name].unique())))
            raise V4eggError(f"{path}: unit_filter keeps no unit with {name} = {wanted}; present are {present}")
    return keep


def _spike_times(table: Any, row: int) -> np.ndarray:
    times = np.asarray(table["spike_times"][row], "float64")
    return np.sort(times[np.isfinite(times)])


def _scalar_columns(table: Any) -> pd.DataFrame:
    """The columns of a table with one number, flag or text per row."""
    columns: dict[str, Any] = {}
    for name in table.colnames:
        if isinstance(table[name], VectorIndex | DynamicTableRegion) or np.ndim(table[name].data) != 1:
            continue
        values = np.asarray(table[name].data[:])
        if values.dtype.kind in "OSU" and all(isinstance(value, str | bytes) for value in values):
            columns[name] = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
        elif values.dtype.kind in "biuf":
            columns[name] = values
    return pd.DataFrame(columns, index=range(len(table)))


def _first_electrodes(path: Path, units: Any) -> pd.DataFrame:
    """For each unit the scalar columns of its first electrode; no columns if the units have no electrodes."""
    empty = pd.DataFrame(index=range(len(units)))
    if "electrodes" not in units.colnames:
        return empty
    column = units["electrodes"]
    region = column.target if isinstance(column, VectorIndex) else column
    if not isinstance(region, DynamicTableRegion):
        return empty
    rows = np.asarray(region.data[:])
    ends = np.asarray(column.data[:]) if column is not region else np.arange(1, len(rows) + 1)
    starts = np.concatenate([[0], ends[:-1]]).astype(int)
    if (starts == ends).any():
        return empty
    electrodes = _scalar_columns(region.table)
    if rows.max() >= len(electrodes):
        raise V4eggError(
            f"{path}: /units/electrodes names row {rows.max()} of {len(electrodes)} electrodes; correct it"
        )
    return electrodes.iloc[rows[starts]].reset_index(drop=True)


def _presentations(path: Path, nwb: NWBFile, names: Mapping[str, Any]) -> pd.DataFrame:
    """The presentations that show an image, by onset: columns ``onset``, ``offset`` (s) and ``stimulus``."""
    tables = dict(nwb.intervals or {})
    tables |= {name: table for name in ("trials", "epochs") if (table := getattr(nwb, name)) is not None}
    chosen = names["table"]
    if chosen == DEFAULT_COLUMNS["table"] and chosen not in tables:
        chosen = "trials"
    if chosen not in tables:
        raise V4eggError(
            f"{path}: no table /intervals/{names['table']}; present are {_list(tables)}; name one in columns.table"
        )
    table = tables[chosen]
    data = {}
    for key, name in (("start", "onset"), ("stop", "offset"), ("stimulus", "stimulus")):
        column = names[key]
        if column not in table.colnames:
            present = _list(table.colnames)
            raise V4eggError(f"{path}: /intervals/{chosen} has no column {column} but {present}; set columns.{key}")
        if np.ndim(table[column].data) != 1 or isinstance(table[column], VectorIndex):
            raise V4eggError(f"{path}: /intervals/{chosen}/{column} has several values a row; set columns.{key}")
        data[name] = np.asarray(table[column].data[:])
    frame = pd.DataFrame({**data, "stimulus": pd.Series(nwb_images.stimulus_ids(data["stimulus"]), dtype=object)})
    frame = frame[frame["stimulus"].notna()].sort_values("onset", kind="stable")
    if frame.empty:
        raise V4eggError(f"{path}: /intervals/{chosen}/{names['stimulus']} names no image; set columns.stimulus")
    if not (frame["offset"] > frame["onset"]).all():  # false for NaN too
        raise V4eggError(f"{path}: /intervals/{chosen} has presentations whose stop is missing or not after the start")
    return frame


def _image_source(path: Path, nwb: NWBFile, wanted: str | None) -> nwb_images.Source:
    """The images container, image series or folder that the configuration names, or the only one."""
    stimuli = {**dict(nwb.stimulus_template or {}), **dict(nwb.stimulus or {})}
    containers = {name: value for name, value in stimuli.items() if isinstance(value, Images | ImageSeries)}
    if wanted in containers:
        return containers[wanted]
    if wanted is not None and (path.parent / wanted).is_dir():
        return path.parent / wanted
    if wanted is not None:
        raise V4eggError(
            f"{path}: columns.images names {wanted}, neither a stimulus template nor a folder beside the file; "
            f"templates are {_list(containers)}"
        )
    if not containers:
        raise V4eggError(f"{path}: no images in /stimulus; name a folder of images beside the file in columns.images")
    if len(containers) > 1:
        raise V4eggError(f"{path}: several image containers, {_list(containers)}; name one in columns.images")
    return next(iter(containers.values()))


def _list(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "none"


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


class Columns(Options):
    """Where an NWB file keeps what is needed; what is not given is found by itself."""

    table: str | None = Field(
        DEFAULT_COLUMNS["table"], description="Presentation table under intervals; by default trials if it is absent."
    )
    start: str = Field(DEFAULT_COLUMNS["start"], description="Column of the onset in seconds.")
    stop: str = Field(DEFAULT_COLUMNS["stop"], description="Column of the offset in seconds.")
    stimulus: str = Field(DEFAULT_COLUMNS["stimulus"], description="Column that names the image.")
    images: str | None = Field(
        None, description="Container of the images, or a folder beside the file; null: the only container."
    )
    unit_filter: dict[str, Any] | None = Field(
        None, description="Units to keep, by column value, such as {location: V4}; null: all."
    )


class Nwb(ReaderOptions):
    """A file in Neurodata Without Borders format."""

    file: PathText = Field(description="Path of the NWB file.")
    columns: Columns = Columns()

    def read(self, session: str, path: str) -> Recording:
        """See :func:`read_nwb`."""
        return read_nwb(path, session, columns=self.columns.model_dump())
