"""The image files beside an NWB file that its series of images refer to, found without pynwb, for planning."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from v4egg.images.names import IMAGE_FILES

PLACES = ("stimulus/presentation", "stimulus/templates", "acquisition")


def external_files(path: Path) -> list[str]:
    """The names of image files in ``external_file`` of all series of images in a file.

    Args:
        path: an NWB file in HDF5, or a Zarr folder.

    Returns:
        The names as they are stored, relative to the file's folder; none for a file that cannot be read, which its
        reader will say.

    Example:
        >>> external_files(Path("nowhere.nwb"))
        []
    """
    try:
        if path.is_dir():
            import zarr

            return _images(_names(zarr.open_group(str(path), mode="r")))
        if not path.is_file():
            return []
        import h5py

        with h5py.File(path) as file:
            return _images(_names(file))
    except Exception:  # a damaged file fails with many types, and reading it tells why
        return []


def _images(names: Iterator[str]) -> list[str]:
    """Those that are images, and no movies."""
    return [name for name in names if name.lower().endswith(IMAGE_FILES)]


def _names(file: Any) -> Iterator[str]:
    places = [place for place in PLACES if place in file]
    if "processing" in file:
        places += [f"processing/{module}" for module in file["processing"]]
    for place in places:
        for name in file[place]:
            series = file[place][name]
            if not hasattr(series, "shape") and "external_file" in series:
                for value in series["external_file"][:]:
                    yield value.decode() if isinstance(value, bytes) else str(value)
