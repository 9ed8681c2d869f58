"""Files that a configuration names, such as weights: a rule declares them, so that its job reruns when they change."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from v4egg.errors import V4eggError
from v4egg.io.digests import digest_of, digests_of, files_below
from v4egg.io.files import where_paths_start

_HUB_ID = re.compile(r"[\w.-]*[\w-]/[\w.-]+")
_FILE_SUFFIXES = (".pt", ".pth", ".safetensors", ".npz")


def given_files(path: str | Path | None) -> list[str]:
    """What a rule declares as inputs for a file or folder of weights that the configuration names.

    Args:
        path: A file, a folder, or the id of a model on the Hugging Face hub (``owner/name``); empty for none.

    Returns:
        The file; or all files of the folder and below it, without those of hidden folders such as ``.git``; or nothing
        for the id of a model. A file that is not there is returned too: see :func:`check_given_files`.

    Example:
        >>> given_files("weights/unet.pt"), given_files("google/ddpm-celebahq-256"), given_files("")
        (['weights/unet.pt'], [], [])
    """
    if not path or is_hub_id(path):
        return []
    if Path(path).is_dir():
        names = [name for name in files_below(path) if not any(part.startswith(".") for part in name.split("/")[:-1])]
        return [str(Path(path, name)) for name in names]
    return [str(path)]


def is_hub_id(path: str | Path) -> bool:
    """Whether it is the id of a model on the Hugging Face hub: ``owner/name``, and there is no such file or folder.

    A relative path in a folder that is there is a path, also if the file is not.
    """
    text = str(path)
    if not _HUB_ID.fullmatch(text) or Path(text).suffix in _FILE_SUFFIXES:
        return False
    return not Path(text).parent.is_dir()


def folder_digest(folder: str | Path | None) -> str:
    """Digest of the contents of all files of a folder and below it.

    For folders of so many images that a rule cannot declare each as an input: the digest is one of its params. Contents
    are read once, and again when a file changes (:mod:`v4egg.io.digests`).

    Returns:
        16 hexadecimal digits; an empty string where there is no such folder.
    """
    return digest_of(folder)[:16] if folder and Path(folder).is_dir() else ""


def files_digest(paths: Iterable[str | Path], expected: Mapping[str, str] | None = None) -> str:
    """Digest of the contents of files and folders, whatever their names.

    Args:
        paths: the files and folders, in an order that does not change.
        expected: by path, the SHA-256 of files that will be downloaded.

    Returns:
        16 hexadecimal digits; an empty string for no path.

    Example:
        >>> files_digest([]), files_digest(["a.zip"], {"a.zip": "0" * 64})
        ('', '60e05bd1b195af2f')
    """
    expected = expected or {}
    paths = list(paths)
    digests = [digest or expected.get(str(path), "") for path, digest in zip(paths, digests_of(paths), strict=True)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16] if digests else ""


def check_given_files(config: Mapping[str, Any]) -> None:
    """Refuse files and folders that a configuration names and that are not there, or that Snakemake cannot name.

    Sessions and their judges say themselves which of their files are missing.

    Args:
        config: valid and with defaults.

    Raises:
        V4eggError: the first of them; names the key.
    """
    for key, path in _given_paths(config).items():
        if "{" in path or "}" in path:
            raise V4eggError(
                f"configuration key '{key}': '{path}' has braces, which mean wildcards to Snakemake; rename the folder "
                "or the file"
            )
        if key.endswith((".weights", ".folder")) and not is_hub_id(path) and not Path(path).exists():
            raise V4eggError(f"configuration key '{key}': there is no {path}; {where_paths_start(path)}")


def _given_paths(config: Mapping[str, Any]) -> dict[str, str]:
    """The paths that a configuration names, by key."""
    paths = {"data": config["data"], "prior.pretrained.weights": config["prior"]["pretrained"]["weights"]}
    paths["natural.folder"] = config["natural"]["folder"]
    for session, source in config["sessions"].items():
        paths[f"sessions.{session}.file"] = source.get("file")
        paths[f"sessions.{session}.judge.file"] = (source.get("judge") or {}).get("file")
    for arch, parts in config["encoders"]["architectures"].items():
        weights = parts.get("core", {}).get("backbone", {}).get("weights", "pretrained")
        paths[f"encoders.architectures.{arch}.core.backbone.weights"] = "" if weights == "pretrained" else weights
    searches = {f"synthesis.methods.{name}": method for name, method in config["synthesis"]["methods"].items()}
    searches |= {f"evolution.conditions.{name}": one for name, one in config["evolution"]["conditions"].items()}
    for key, options in searches.items():
        paths[f"{key}.image_generator.weights"] = options.get("image_generator", {}).get("weights")
    return {key: str(path) for key, path in paths.items() if path}
