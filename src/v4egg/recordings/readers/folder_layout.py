"""Which file of a plain folder is what: named by the configuration, or found by its usual name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v4egg.errors import V4eggError
from v4egg.images.files import walk_image_files
from v4egg.io.tables import SUFFIXES
from v4egg.recordings.readers.description import Answer
from v4egg.recordings.readers.notes import OpenQuestion

PRESENTATIONS = [f"presentations{suffix}" for suffix in SUFFIXES]
_SPIKES = [*(f"spikes{suffix}" for suffix in SUFFIXES), "spikes.npz", "spikes", "spike_times.npy"]
_SPIKE_UNITS = ["spike_units.npy", "spike_clusters.npy"]
_COUNTS = [*(f"counts{suffix}" for suffix in SUFFIXES), "counts.npy"]
RESPONSES = [*_SPIKES, *_COUNTS]
_UNITS = [f"units{suffix}" for suffix in SUFFIXES]
_RECORDED = [f"recorded{suffix}" for suffix in SUFFIXES]
_ORDER = [f"images{suffix}" for suffix in SUFFIXES]


@dataclass(frozen=True)
class Layout:
    """The files of a recording in a plain folder; None for those that there are not.

    Attributes:
        folder: the folder.
        images: a folder or a zip file of image files.
        presentations: table of the presentations.
        spikes: table, arrays, or folder of arrays of spike times.
        spike_units: array of the unit of each spike, where ``spikes`` is an array of all times.
        counts: table or array of responses.
        units: table of the units.
        recorded: table of when units were recorded.
        image_order: table whose first column names the images in the order of the counts.
    """

    folder: Path
    images: Path
    presentations: Path | None
    spikes: Path | None
    spike_units: Path | None
    counts: Path | None
    units: Path | None
    recorded: Path | None
    image_order: Path | None

    @property
    def tables(self) -> list[Path]:
        """All that are files and no images."""
        every = [self.presentations, self.spikes, self.spike_units, self.counts, self.units, self.recorded]
        return [path for path in [*every, self.image_order] if path is not None and not path.is_dir()]


def layout_of(folder: str | Path, columns: Mapping[str, Any]) -> Layout:
    """Find the files of a recording, without opening them.

    Args:
        folder: the folder.
        columns: names of files in it by the keys ``table``, ``images``, ``spikes``, ``spike_units``, ``counts``,
            ``units``, ``recorded`` and ``image_order``; None or absent: the file of the usual name.

    Raises:
        OpenQuestion: several files could be meant.
        V4eggError: the folder, a file that is named, or one that every recording needs is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise V4eggError(f"{folder}: there is no such folder; correct the path")
    spikes, counts = _responses(folder, columns)
    presentations = _file(folder, columns, "table", PRESENTATIONS)
    if presentations is None and spikes is not None:
        raise V4eggError(f"{folder}: no {PRESENTATIONS[0]}; give a table of presentations, or name it in columns.table")
    two_arrays = spikes is not None and spikes.suffix == ".npy"
    spike_units = _file(folder, columns, "spike_units", _SPIKE_UNITS) if two_arrays else None
    if two_arrays and spike_units is None:
        raise V4eggError(
            f"{folder}: no {' or '.join(_SPIKE_UNITS)} beside {spikes}; name the array of the unit of each spike in "
            "columns.spike_units"
        )
    return Layout(
        folder,
        _images(folder, columns.get("images")),
        presentations,
        spikes,
        spike_units,
        counts,
        _file(folder, columns, "units", _UNITS),
        _file(folder, columns, "recorded", _RECORDED) if spikes is not None else None,
        _file(folder, columns, "image_order", _ORDER),
    )


def _responses(folder: Path, columns: Mapping[str, Any]) -> tuple[Path | None, Path | None]:
    """Spikes or counts; of both, those that the configuration names."""
    spikes = _file(folder, columns, "spikes", _SPIKES) if not columns.get("counts") else None
    counts = _file(folder, columns, "counts", _COUNTS) if not columns.get("spikes") else None
    if columns.get("spikes") and columns.get("counts"):
        raise V4eggError(f"{folder}: columns.spikes and columns.counts are both set; remove one")
    if spikes is None and counts is None:
        raise V4eggError(
            f"{folder}: neither spikes ({', '.join(_SPIKES)}) nor counts ({', '.join(_COUNTS)}); name a file in "
            "columns.spikes or columns.counts"
        )
    if spikes is not None and counts is not None:
        answers = [Answer(counts.name, "and spikes are not read")]
        raise OpenQuestion(folder, "columns.counts", f"there are {spikes.name} and {counts.name}", answers)
    return spikes, counts


def _file(folder: Path, columns: Mapping[str, Any], key: str, usual: Sequence[str]) -> Path | None:
    named = columns.get(key)
    if named is not None:
        if not (folder / named).exists():
            raise V4eggError(f"{folder}: columns.{key} names {named}, which is not there; correct it")
        return folder / named
    return _only(folder, key, [folder / name for name in usual if (folder / name).exists()])


def _only(folder: Path, key: str, found: Iterable[Path]) -> Path | None:
    paths = list(found)
    if len(paths) > 1:
        answers = [Answer(path.name) for path in paths]
        raise OpenQuestion(folder, f"columns.{key}", f"it has {len(paths)} files that can be meant", answers)
    return paths[0] if paths else None


def _images(folder: Path, named: str | None) -> Path:
    if named is not None:
        if not (folder / named).exists():
            raise V4eggError(f"{folder}: columns.images names {named}, which is not there; correct it")
        return folder / named
    usual = [folder / name for name in ("images", "images.zip") if (folder / name).exists()]
    below = [path for path in sorted(folder.iterdir()) if path.is_dir() and next(walk_image_files(path), None)]
    found = _only(folder, "images", usual or [*below, *sorted(folder.glob("*.zip"))])
    if found is None:
        raise V4eggError(f"{folder}: no folder of image files in it; put them into {folder / 'images'}")
    return found
