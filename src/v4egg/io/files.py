"""Files and folders that are written whole or not at all, and their digests."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | Path, suffix: str = ".tmp") -> Iterator[Path]:
    """Write a file or a folder whole or not at all: beside its path, then renamed.

    A reader never meets half of it, and a machine that stops leaves the old contents or the new ones.

    Args:
        path: the file or folder to replace; parent folders are made.
        suffix: ends the name of the temporary one beside it. Processes that may write at the same time need their own.

    Yields:
        A path at which nothing exists. What the block writes there takes the place of ``path``. If the block raises,
        that is removed and ``path`` stays as it was.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "numbers.txt") as temporary:
        ...     _ = temporary.write_text("1 2 3")
        >>> [file.name for file in folder.iterdir()]
        ['numbers.txt']
    """
    path = Path(path)
    temporary = path.with_name(path.name + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(temporary)
    try:
        yield temporary
        to_disk(temporary, *(temporary.rglob("*") if temporary.is_dir() else ()))
        if temporary.is_dir():
            _remove(path)  # a folder cannot be renamed onto one that is not empty
        temporary.replace(path)
        to_disk(path.parent)
    finally:
        with suppress(OSError):  # an error of cleaning up would hide the one that is raised
            _remove(temporary)


def to_disk(*paths: Path) -> None:
    """Wait until these files and folders are on the disk, not only in the machine's memory."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's contents, 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def where_paths_start(path: str | Path) -> str:
    """What to do about a path that leads nowhere, for an error: a relative one begins in the working directory.

    Example:
        >>> where_paths_start("/data/session.nwb")
        'correct the path'
    """
    if Path(path).is_absolute():
        return "correct the path"
    return f"correct the path, which is relative to the working directory {Path.cwd()}"


def _remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
