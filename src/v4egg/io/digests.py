"""Digests of what files and folders hold, remembered for as long as the files stay as they are.

A rule of the workflow has the digest of the files that a user gives among its params, since Snakemake compares times
only: a file that is replaced by an older one (``cp -p``, ``rsync -a``) would go unnoticed. A digest is remembered by
path, size, inode and both times of a file, of which the time of the last change of its entry cannot be set by a user.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from v4egg.io.files import replacing

WHOLE = 1 << 30  # bytes; of larger files samples are read, and their time of change counts
SAMPLES, SAMPLE = 64, 1 << 20  # number of samples, and bytes of each
LITTER = {".DS_Store", "Thumbs.db", "desktop.ini", ".snakemake_timestamp"}  # what programs leave behind in a folder
_SETTLED = 2 * 10**9  # ns; a file that changed just before it was read may have changed again in the same tick


def digest_of(path: str | Path) -> str:
    """Digest of what a file holds, or a folder with all folders below it.

    Args:
        path: a file or a folder.

    Returns:
        For a file the 64 hexadecimal digits of its SHA-256, above 1 GiB those of its size, its time of change and
        samples of its contents; for a folder those of the paths and digests of its files; empty where there is neither.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.txt").write_text("abc")
        >>> digest_of(folder / "a.txt")[:8], digest_of(folder) == digest_of(folder), digest_of(folder / "b.txt")
        ('ba7816bf', True, '')
    """
    path = Path(path)
    if path.is_dir():
        with _Remembered(path) as remembered:
            lines = [f"{name}\t{remembered.digest(path / name, name)}\n" for name in files_below(path)]
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
    if not path.is_file():
        return ""
    with _Remembered(path) as remembered:
        return remembered.digest(path, "")


def digests_of(paths: Iterable[str | Path]) -> list[str]:
    """Digests of many files, see :func:`digest_of`; those of one folder are remembered together.

    Example:
        >>> digests_of(["nowhere/a.png", "nowhere/b.png"])
        ['', '']
    """
    files = [Path(path) for path in paths]
    found: dict[Path, str] = {}
    for folder in sorted({file.parent for file in files if file.is_file()}):
        with _Remembered(folder, "files") as remembered:
            for file in files:
                if file.parent == folder:
                    found[file] = remembered.digest(file, file.name) if file.is_file() else ""
    return [found[file] if file in found else digest_of(file) for file in files]


def files_below(folder: str | Path) -> Iterator[str]:
    """Paths of all files of a folder and of the folders below it, relative to it, in the order of their names.

    Links to folders are followed once. What programs leave behind, such as ``.DS_Store``, is not among them.
    """
    seen: set[str] = set()
    for place, below, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        below[:] = [] if real in seen else sorted(below)
        if real in seen:
            continue
        seen.add(real)
        for name in sorted(files):
            if name not in LITTER and not name.startswith("._"):
                yield Path(place, name).relative_to(folder).as_posix()


class _Remembered:
    """The digests of the files of one folder, or of one file, that were computed before; saved when it is closed."""

    def __init__(self, root: Path, what: str = "") -> None:
        name = hashlib.sha256(f"{root.absolute()}\n{what}".encode(errors="surrogateescape")).hexdigest()[:32]
        self.path = _cache_folder() / f"{name}.json"
        self.before: dict[str, list[str | int]] = {}
        self.now: dict[str, list[str | int]] = {}

    def __enter__(self) -> "_Remembered":
        with suppress(OSError, ValueError):
            content = json.loads(self.path.read_text())
            self.before = content if isinstance(content, dict) else {}
        return self

    def __exit__(self, *error: object) -> None:
        if self.now != self.before:
            with suppress(OSError), replacing(self.path, f".{os.getpid()}.tmp") as temporary:  # a home that is full
                temporary.write_text(json.dumps(self.now))

    def digest(self, path: Path, name: str) -> str:
        """The digest of a file; a word in its place where it cannot be read, as its job will say."""
        began = time.time_ns()
        try:
            status = path.stat()
            state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
            entry = self.before.get(name, [])
            digest = str(entry[-1]) if entry[:-1] == state else _digest_of_file(path, status)
        except OSError as error:
            return type(error).__name__
        if max(status.st_mtime_ns, status.st_ctime_ns) < began - _SETTLED:
            self.now[name] = [*state, digest]
        return digest


def _digest_of_file(path: Path, status: os.stat_result) -> str:
    with path.open("rb") as file:
        if status.st_size <= WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode())
        for i in range(SAMPLES):
            file.seek((status.st_size - SAMPLE) * i // (SAMPLES - 1))
            digest.update(file.read(SAMPLE))
        return digest.hexdigest()


def _cache_folder() -> Path:
    """Where digests are remembered."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "v4egg/digests"
