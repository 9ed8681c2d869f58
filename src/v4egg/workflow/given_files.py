"""Files that a configuration names, such as weights: a rule declares them, so that its job reruns when they change."""

import hashlib
import os
import re
from pathlib import Path

_HUB_ID = re.compile(r"[\w.-]*[\w-]/[\w.-]+")
_FILE_SUFFIXES = (".pt", ".pth", ".safetensors", ".npz")


def given_files(path: str | Path | None) -> list[str]:
    """What a rule declares as inputs for a file or folder of weights that the configuration names.

    Args:
        path: A file, a folder, or the id of a model on the Hugging Face hub (``owner/name``); empty for none.

    Returns:
        The file; or all files of the folder and below it; or nothing for the id of a model. A file that is not there is
        returned too: the dry run refuses it as a missing input.

    Example:
        >>> given_files("weights/unet.pt"), given_files("google/ddpm-celebahq-256"), given_files("")
        (['weights/unet.pt'], [], [])
    """
    if not path:
        return []
    if Path(path).is_dir():
        return sorted(str(file) for file in Path(path).rglob("*") if file.is_file())
    if _HUB_ID.fullmatch(str(path)) and Path(path).suffix not in _FILE_SUFFIXES and not Path(path).exists():
        return []
    return [str(path)]


def folder_digest(folder: str | Path | None) -> str:
    """Digest of the names, sizes and times of change of all files of a folder and below it.

    For folders of so many images that a rule cannot declare each as an input: the digest is one of its params. Contents
    are not read, as Snakemake does not read those of large inputs either.

    Returns:
        16 hexadecimal digits; an empty string where there is no such folder.
    """
    if not folder or not Path(folder).is_dir():
        return ""
    digest = hashlib.sha256()
    for place, below, files in os.walk(folder):
        below.sort()
        for name in sorted(files):
            file = Path(place, name)
            status = file.stat()
            digest.update(f"{file.relative_to(folder)}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
