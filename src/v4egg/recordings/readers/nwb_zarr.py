"""Opening NWB files over Zarr, with hdmf-zarr where it is installed; nothing in them is unpickled.

hdmf-zarr works beside zarr 3 from version 0.14 on, which needs Python 3.12 (the extra ``nwb-zarr``). Earlier versions
need zarr 2, so that they cannot be installed beside this package: the way on is to convert the file in an environment
of its own.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from v4egg.errors import V4eggError

PYTHON = (3, 12)  # that hdmf-zarr 0.14 needs
_EXPORT = (
    'python -c "from hdmf_zarr.nwb import NWBZarrIO as Z; from pynwb import NWBHDF5IO as H; '
    "H('{out}', 'w').export(Z('{path}', 'r'), write_args={{'link_data': False}})\""
)
_CONVERT = (
    'NUMCODECS_ALLOW_UNSAFE_PICKLE_DECODE=1 python -c "from hdmf_zarr.nwb_zarrv2 import NWBZarrV2IO as Z; '
    "Z.convert_to_v3('{path}', '{out}', allow_pickle=True)\""
)


def zarr_io(path: Path) -> Any:
    """The class that opens a Zarr NWB file of its format, 2 or 3.

    Raises:
        V4eggError: the folder is no Zarr file, or hdmf-zarr is not installed; says how to read it all the same.
    """
    version = zarr_format(path)
    if version is None:
        raise V4eggError(f"{path}: a folder that is no Zarr file; give an NWB file, or a folder written by hdmf-zarr")
    try:
        from hdmf_zarr.nwb import NWBZarrIO
        from hdmf_zarr.nwb_zarrv2 import NWBZarrV2IO
    except ImportError as error:
        raise V4eggError(f"{path}: an NWB file over Zarr (format {version}); {_way_on(path, version)}") from error
    return NWBZarrIO if version == 3 else NWBZarrV2IO


def zarr_format(path: Path) -> int | None:
    """The Zarr format of a folder, 2 or 3; None if it is none."""
    if (path / "zarr.json").is_file():
        return 3
    return 2 if (path / ".zgroup").is_file() else None


@contextmanager
def nothing_unpickled(path: Path) -> Iterator[None]:
    """Say what to do where a file of format 2 holds pickled objects, which hdmf-zarr refuses to read.

    Raises:
        V4eggError: it does.
    """
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "UnsafePickleCodecError":
            raise
        convert = _CONVERT.format(path=path, out=_beside(path, ".v3.nwb.zarr"))
        raise V4eggError(
            f"{path}: holds pickled objects, which are never loaded; if you trust who wrote it, convert it: {convert}"
        ) from error


def _way_on(path: Path, version: int) -> str:
    if sys.version_info >= PYTHON:
        return "install what reads it: pip install 'v4egg[nwb-zarr]'"
    export = _EXPORT.format(path=path, out=_beside(path, ".nwb"))
    python = "Python 3.12" if version == 3 else "its own environment"
    return f"what reads it needs Python 3.12; or export it to HDF5 in {python} with hdmf-zarr: {export}"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name.removesuffix(".zarr").removesuffix(".nwb") + suffix)
