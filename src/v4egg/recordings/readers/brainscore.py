"""Reader of Brain-Score's neural assemblies, such as that of Majaj & Hong et al. (2015): netCDF files with stimuli.

An assembly holds one array with the dimensions ``neuroid``, ``presentation`` and, in most, ``time_bin``. What is known
of each neuroid, presentation and time bin stands in one-dimensional variables beside it, which were levels of an index:
``neuroid_id``, ``animal``, ``region``; ``stimulus_id`` (``image_id`` in older files) and what describes the stimulus;
``time_bin_start`` and ``time_bin_end`` in ms. Its stimulus set is a CSV table with a row per stimulus, and a zip file
of images. Responses of most assemblies are rates that were normalized: no counts of spikes, and negative at times.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.images.names import match_names
from v4egg.io.tables import read_table, texts
from v4egg.recordings.filters import filtered
from v4egg.recordings.readers.column_facts import column_facts, few_values
from v4egg.recordings.readers.description import Answer, Description, Question, Table, UnitFacts
from v4egg.recordings.readers.image_files import NAMED, ImageFiles, missing_images, opened_images, read_pictures
from v4egg.recordings.readers.reader import ReaderOptions
from v4egg.recordings.recording import SPIKES_PER_WINDOW, Recording
from v4egg.recordings.repeats import by_image, missing_responses
from v4egg.recordings.sources import OwnFile
from v4egg.registry import Numbers, PathText

RESPONSE_UNIT = "normalized firing rate"
IDS = ("stimulus_id", "image_id")  # newer, older
FILE_NAMES = ("filename", "stimulus_path_within_store", "image_path_within_store", "image_file_name")
_DIMS = ("presentation", "neuroid", "time_bin")


def read_brainscore(
    path: str | Path,
    session: str,
    *,
    images: str | Path,
    stimuli: str | Path | None = None,
    unit_filter: Mapping[str, Any] | None = None,
    presentations_filter: Mapping[str, Any] | None = None,
    time_bin: tuple[float, float] | None = None,
    response_unit: str = RESPONSE_UNIT,
    image_size: int | None = None,
    background: float = 0.5,
) -> Recording:
    """Read an assembly and its images.

    Args:
        path: the netCDF file, of version 3 or 4.
        session: session id; unit ids are ``<session>-u<neuroid>``, the position in the file, also after filtering.
        images: zip file or folder of the images.
        stimuli: table that names the image file of each stimulus; None: images are named by the stimuli.
        unit_filter: neuroids to keep, by variable; None: those whose ``region`` is V4; empty: all.
        presentations_filter: presentations to keep, by variable; None: all.
        time_bin: start and end in ms of the bin to read; None: the only one.
        response_unit: unit of the responses.
        image_size: px of the shorter side to which images are reduced when they are read; None: as they are.
        background: grey level behind transparent images, in units of [0, 1].

    Returns:
        A recording with ``counts`` float32 (image, repeat, unit) in ``response_unit``: repeats in the order of the
        presentations, NaN-padded. ``units`` has the variables of neuroids.

    Raises:
        V4eggError: a file is missing, damaged or of another layout, a filter keeps nothing, the assembly has several
            time bins and none is named, or a stimulus has no image.
    """
    path, images = Path(path), Path(images)
    left_out: dict[str, int] = {}
    with _opened(path) as assembly:
        responses = _responses(path, assembly)
        neuroids, presentations = (_facts(assembly, responses, dim) for dim in ("neuroid", "presentation"))
        kept_units = _kept(path, neuroids, {"region": "V4"} if unit_filter is None else unit_filter, "unit_filter", {})
        rows = _kept(path, presentations, presentations_filter, "presentations_filter", left_out)
        ids = _stimulus_ids(path, presentations)[rows]
        values = _of_bin(path, assembly, responses, time_bin).isel(neuroid=kept_units)
        values = values.transpose("presentation", "neuroid").values[rows].astype("float32")
    if len(values) == 0:
        raise V4eggError(f"{path}: the assembly has no presentation")
    with opened_images(images) as files:
        unique, image = np.unique(ids, return_inverse=True)
        names = _image_names(path, list(unique), files, stimuli)
        pictures = read_pictures(
            [files.file(name) for name in names],
            names,
            where=str(images),
            size=image_size,
            size_key="image_size",
            background=background,
        )
    units = neuroids.iloc[kept_units]
    units.index = pd.Index([f"{session}-u{number:03d}" for number in kept_units], name="unit")
    counts = by_image(values, image, len(unique))
    return Recording(
        session=session,
        images=pictures,
        units=units,
        image_ids=[str(name) for name in unique],
        counts=counts,
        attrs={"source": f"Brain-Score: {path.name}"},
        left_out=left_out,
        warnings=missing_responses(counts, path.name),
        response_unit=response_unit,
    )


def describe_brainscore(path: Path) -> Description | None:
    """What an assembly holds, and what has to be said: its images, and one of several regions or time bins.

    Returns:
        None if it is no netCDF file.

    Raises:
        V4eggError: it is a netCDF file and no neural assembly.
    """
    if path.suffix.lower() not in (".nc", ".nc4", ".netcdf"):
        return None
    result = Description("brainscore", "neural assembly of Brain-Score", options={"file": str(path)})
    with _opened(path) as assembly:
        responses = _responses(path, assembly)
        facts = {dim: _facts(assembly, responses, dim) for dim in ("neuroid", "presentation")}
        result.tables = [
            Table(dim, len(table), [column_facts(str(name), table[name]) for name in table])
            for dim, table in facts.items()
        ]
        bins = _bins(assembly) if "time_bin" in responses.dims and responses.sizes["time_bin"] > 1 else []
    result.units = UnitFacts(len(facts["neuroid"]), few_values(facts["neuroid"]))
    result.questions = list(_questions(path, facts["neuroid"], bins))
    return result


def _questions(path: Path, neuroids: pd.DataFrame, bins: list[tuple[float, float]]) -> Iterator[Question]:
    beside = [*path.parent.glob("*.zip"), *(folder for folder in path.parent.iterdir() if folder.is_dir())]
    answers = [Answer(str(place), "beside the file") for place in sorted(beside)[: 2 * NAMED]]
    text = "the images are in a zip file or a folder of their own"
    yield Question("images", text, answers or [Answer("images.zip", "for example")])
    regions = neuroids["region"].unique().tolist() if "region" in neuroids else []
    if "V4" not in regions:
        options = [Answer({"region": region}) for region in regions] or [Answer({}, "all neuroids")]
        yield Question("unit_filter", "it has no neuroids of region V4", options)
    if bins:
        yield Question("time_bin", f"it has {len(bins)} time bins", [Answer(list(pair), "ms") for pair in bins])


@contextmanager
def _opened(path: Path) -> Iterator[xr.Dataset]:
    if not path.is_file():
        raise V4eggError(f"{path}: no such file; correct the path")
    try:
        if h5py.is_hdf5(path):
            assembly = xr.open_dataset(path, engine="h5netcdf", decode_timedelta=False)
        else:
            assembly = xr.open_dataset(path, engine="scipy", decode_timedelta=False)
    except Exception as error:  # a damaged file fails in the library behind xarray, with many types
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        raise V4eggError(f"{path}: no readable netCDF file ({reason}); fetch it again") from error
    with assembly:
        yield assembly


def _responses(path: Path, assembly: xr.Dataset) -> xr.DataArray:
    """The only variable over presentations and neuroids."""
    arrays = [array for array in assembly.variables if {"presentation", "neuroid"} <= set(assembly[array].dims)]
    if len(arrays) != 1 or set(assembly[arrays[0]].dims) - set(_DIMS):
        dims = {str(name): list(map(str, assembly[name].dims)) for name in arrays}
        raise V4eggError(
            f"{path}: expected one array over presentation, neuroid and perhaps time_bin, found {dims or 'none'}; give "
            "a neural assembly of Brain-Score"
        )
    return assembly[arrays[0]]


def _facts(assembly: xr.Dataset, responses: xr.DataArray, dim: str) -> pd.DataFrame:
    """What is known along a dimension: its variables, those of several levels as one column each."""
    columns = {}
    for name, variable in assembly.variables.items():
        if variable.dims == (dim,) and str(name) != dim:
            values = variable.values
            columns[str(name)] = texts(pd.Series(values, dtype=object)) if values.dtype.kind in "OSU" else values
    return pd.DataFrame(columns, index=range(responses.sizes[dim]))


def _kept(
    path: Path, facts: pd.DataFrame, wanted: Mapping[str, Any] | None, key: str, left_out: dict[str, int]
) -> np.ndarray:
    """Positions of the rows that a filter keeps."""

    def values_of(name: str) -> list[Any]:
        if name not in facts:
            raise V4eggError(f"{path}: {key} names {name}; variables are {', '.join(map(str, facts))}; correct {key}")
        return facts[name].tolist()

    return np.flatnonzero(filtered(len(facts), wanted, values_of, left_out.__setitem__, f"{path}: {key}"))


def _stimulus_ids(path: Path, presentations: pd.DataFrame) -> np.ndarray:
    name = next((name for name in IDS if name in presentations), None)
    if name is None:
        raise V4eggError(
            f"{path}: presentations have neither {' nor '.join(IDS)} but {', '.join(map(str, presentations))}"
        )
    ids = texts(presentations[name])
    if None in ids or "" in ids:
        raise V4eggError(f"{path}: presentations without {name}; leave them out with presentations_filter")
    return np.array(ids, dtype=object)


def _of_bin(
    path: Path, assembly: xr.Dataset, responses: xr.DataArray, wanted: tuple[float, float] | None
) -> xr.DataArray:
    """The responses in one time bin."""
    if "time_bin" not in responses.dims:
        if wanted is not None:
            raise V4eggError(f"{path}: the assembly has no time bins; remove time_bin")
        return responses
    bins = _bins(assembly)
    if wanted is None and responses.sizes["time_bin"] == 1:
        return responses.isel(time_bin=0)
    if wanted is None or tuple(wanted) not in bins:
        listed = ", ".join(f"[{start:g}, {end:g}]" for start, end in bins[: 2 * NAMED]) or "without start and end"
        said = "several time bins" if wanted is None else f"no time bin {list(wanted)}"
        raise V4eggError(f"{path}: the assembly has {said}; set time_bin to one of {listed} (ms)")
    return responses.isel(time_bin=bins.index((wanted[0], wanted[1])))


def _bins(assembly: xr.Dataset) -> list[tuple[float, float]]:
    """Start and end of each time bin in ms; empty if they are not known."""
    edges = [assembly[name].values.tolist() for name in ("time_bin_start", "time_bin_end") if name in assembly]
    return list(zip(edges[0], edges[1], strict=True)) if len(edges) == 2 else []


def _image_names(path: Path, ids: list[str], files: ImageFiles, stimuli: str | Path | None) -> list[str]:
    """The name of each stimulus's image among the files."""
    named, where = (ids, f"{path}: stimuli") if stimuli is None else (_named_by(Path(stimuli), ids), str(stimuli))
    places = match_names(named, files.names, ordered=False, where=where)
    missing_images(named, places, where, len(files.names), "set images and stimuli to those of this assembly")
    return [files.names[place] for place in places if place is not None]


def _named_by(stimuli: Path, ids: list[str]) -> list[str]:
    """What the table of stimuli calls the image file of each stimulus."""
    table = read_table(stimuli)
    key = next((name for name in IDS if name in table), None)
    if key is None:
        raise V4eggError(f"{stimuli}: no column {' or '.join(IDS)}; give the table of the assembly's stimulus set")
    column = next((name for name in FILE_NAMES if name in table), key)
    name_of: dict[str, str] = {}
    for own, name in zip(texts(table[key]), texts(table[column]), strict=True):
        if name_of.setdefault(str(own), str(name)) != str(name):
            raise V4eggError(f"{stimuli}: {key} {own} is in several rows with different {column}; correct it")
    lost = [own for own in ids if own not in name_of]
    if lost:
        raise V4eggError(
            f"{stimuli}: {len(lost)} stimuli of the assembly are not among the {len(name_of)} of column {key}, such as "
            f"{', '.join(lost[:NAMED])}; give the table of its stimulus set"
        )
    return [name_of[own] for own in ids]


class BrainScore(ReaderOptions):
    """A neural assembly of Brain-Score (netCDF) with the images of its stimulus set."""

    file: PathText = Field(description="Path of the netCDF file.")
    images: PathText = Field(description="Zip file or folder of the images.")
    stimuli: PathText | None = Field(
        None,
        description="CSV table of the stimulus set, which names the image file of each stimulus; null: images have the "
        "ids of the stimuli as names.",
    )
    unit_filter: dict[str, Any] = Field(
        {"region": "V4"}, description="Neuroids to keep, by variable, such as {region: V4, animal: Tito}; {}: all."
    )
    presentations_filter: dict[str, Any] | None = Field(
        None, description="Presentations to keep, by variable, such as {variation: 3}; null: all."
    )
    time_bin: Numbers | None = Field(
        None, min_length=2, max_length=2, description="Start and end in ms of the time bin to read; null: the only one."
    )
    response_unit: str = Field(
        RESPONSE_UNIT,
        description="Unit of the responses; spikes per window where they are counts, which a Poisson loss needs.",
    )
    image_size: int | None = Field(
        None,
        ge=8,
        description="Pixels of the shorter side to which images are reduced as they are read; null: as they are.",
    )

    @classmethod
    def describe(cls, path: Path) -> Description | None:
        """See :func:`describe_brainscore`."""
        return describe_brainscore(path)

    def read(self, session: str, path: str, background: float = 0.5) -> Recording:
        """See :func:`read_brainscore`."""
        options = {name: getattr(self, name) for name in BrainScore.model_fields if name != "file"}
        return read_brainscore(path, session, **options, background=background)


class BrainScoreFiles(OwnFile):
    """The assembly, the table of stimuli, and the images."""

    def files(self) -> list[str]:
        """The assembly, the table of stimuli where it is named, and the images where they are a file."""
        named = [self.options.get("stimuli"), self.options["images"]]
        return [self.path, *(str(path) for path in named if path and not Path(path).is_dir())]

    def folders(self) -> list[str]:
        """The images where they are a folder."""
        images = self.options["images"]
        return [str(images)] if Path(images).is_dir() else []

    def counts_spikes(self) -> bool:
        """Whether the configuration says so."""
        return bool(self.options.get("response_unit", RESPONSE_UNIT) == SPIKES_PER_WINDOW)
