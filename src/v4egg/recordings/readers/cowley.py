"""Reader of the macaque V4 recordings published with Cowley, Stan, Pillow & Smith (2026).

Source: "Compact deep neural network models of the visual cortex", Nature, s41586-026-10150-1.

Layout of the repository cowleygroup/V4_compact_models, by session number such as 190923::

    data_V4_responses/images/images_190923.zip                          JPEG images, numbered from 1
    data_V4_responses/responses_raw/responses_190923.npy                (unit, image, repeat), NaN-padded
    data_V4_responses/responses_repeat_averaged/responses_190923.npy    (unit, image)
    data_compact_models/models_torch/compact_model_190923_neuron0.pt    one compact model per unit

Responses are spike counts in 100 ms. Raw responses are published for a few sessions only.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.recordings.readers.image_files import opened_images, read_pictures
from v4egg.recordings.readers.reader import ReaderOptions
from v4egg.recordings.recording import Recording
from v4egg.recordings.repeats import check_padding, missing_responses
from v4egg.recordings.sources import Source

COUNT_WINDOW_MS = 100
REPOSITORY = "cowleygroup/V4_compact_models"

_IMAGES = "data_V4_responses/images/images_{number}.zip"
_RAW = "data_V4_responses/responses_raw/responses_{number}.npy"
_AVERAGED = "data_V4_responses/responses_repeat_averaged/responses_{number}.npy"
_MODELS = "data_compact_models/models_torch"
_REMEDY = (
    f"set V4EGG_DATA to the folder that holds V4_compact_models (a clone of github {REPOSITORY}), "
    "or run the rule that downloads it"
)


def read_cowley(folder: str | Path, session: str, *, repeats: int | None = None, background: float = 0.5) -> Recording:
    """Read one published session.

    Args:
        folder: root of the repository's layout, the folder that contains ``data_V4_responses``.
        session: session id such as ``s190923``.
        repeats: how many trials each repeat-averaged response is the mean of; None: 1. Raw responses are single trials
            and do not need it.
        background: grey level behind transparent images, in units of [0, 1].

    Returns:
        A recording with ``images`` uint8 (image, 3, y, x), 112 px square as published; ``counts`` float32 (image,
        repeat, unit), spikes in 100 ms, from the raw responses (NaN-padded) where they exist and with one averaged
        repeat otherwise; and ``units`` with the column ``neuron``, the 0-based index in the published arrays.

    Raises:
        V4eggError: a file is missing or damaged, or images and responses do not fit each other.
    """
    session_number(session)  # refuses an invalid id before the folder is read
    folder = Path(folder)
    if repeats is not None and (isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1):
        raise V4eggError(f"session {session}: repeats is {repeats!r}; give a whole number of trials, 1 or more")
    if not (folder / "data_V4_responses").is_dir():
        raise V4eggError(
            f"{folder / 'data_V4_responses'}: no such folder, expected images and responses there; {_REMEDY}"
        )
    images_path, responses_path = required_files(folder, session)
    counts, averaged = _counts(existing(responses_path, "responses", session), session)
    images, names = _images(existing(images_path, "images", session), background)
    if len(images) != len(counts):
        raise V4eggError(
            f"{responses_path}: {len(counts)} images in the responses, {len(images)} in {images_path.name}; "
            f"take both files from the same version of {REPOSITORY}"
        )
    check_padding(counts, names, str(responses_path))
    neurons = range(counts.shape[2])
    return Recording(
        session=session,
        images=images,
        units=pd.DataFrame(
            {"neuron": np.asarray(neurons)}, index=pd.Index([unit_id(session, n) for n in neurons], name="unit")
        ),
        image_ids=[f"{session}-{name}" for name in names],
        counts=counts,
        repeats_averaged=(repeats or 1) if averaged else 1,
        attrs={
            "count_window_ms": COUNT_WINDOW_MS,
            "source": f"{REPOSITORY}: {responses_path.relative_to(folder).as_posix()}",
        },
        warnings=missing_responses(counts, responses_path.name),
    )


def session_number(session: str) -> str:
    """Return the number in the published file names.

    Raises:
        V4eggError: the id is not an ``s`` and six digits.

    Example:
        >>> session_number("s190923")
        '190923'
    """
    match = re.fullmatch(r"s(\d{6})", str(session), re.ASCII)
    if match is None:
        raise V4eggError(
            f"session {session!r}: not a session id of {REPOSITORY}; write it as s and six digits: s190923"
        )
    return match[1]


def unit_id(session: str, neuron: int) -> str:
    """Return the id of the unit at the 0-based position ``neuron`` of a session's arrays.

    Example:
        >>> unit_id("s190923", 7)
        's190923-u007'
    """
    return f"{session}-u{neuron:03d}"


def image_files(folder: str | Path, session: str) -> list[Path]:
    """Return the files that contain the session's images, without opening them."""
    return [Path(folder) / _IMAGES.format(number=session_number(session))]


def required_files(folder: str | Path, session: str) -> list[Path]:
    """Return the two files that :func:`read_cowley` reads, images first and then responses, without opening them.

    Raw responses are preferred. If the folder has no responses yet, the manifest decides which will be downloaded.
    """
    number, folder = session_number(session), Path(folder)
    raw, averaged = _RAW.format(number=number), _AVERAGED.format(number=number)
    on_disk = [path for path in (raw, averaged) if (folder / path).is_file()]
    listed = [path for path in (raw, averaged) if path in {entry["path"] for entry in manifest()["files"]}]
    return [*image_files(folder, session), folder / next(iter([*on_disk, *listed, averaged]))]


def published_model_files(folder: str | Path, session: str) -> list[Path]:
    """Return the files of the session's published compact models by neuron number, without opening them.

    These are the files in the folder and those that the manifest lists; none if no model of the session is published.
    """
    stem = f"compact_model_{session_number(session)}_neuron"
    on_disk = {path.name for path in (Path(folder) / _MODELS).glob(f"{stem}*.pt")}
    listed = {PurePosixPath(entry["path"]).name for entry in manifest()["files"]}
    names = {name for name in on_disk | listed if re.fullmatch(rf"{stem}\d+\.pt", name, re.ASCII)}
    return [Path(folder) / _MODELS / name for name in sorted(names, key=model_neuron)]


def model_neuron(path: str | Path) -> int:
    """Return the 0-based neuron number in the name of a published model's file.

    Example:
        >>> model_neuron("compact_model_190923_neuron12.pt")
        12
    """
    return int(Path(path).stem.rpartition("neuron")[2])


@cache
def manifest() -> dict[str, Any]:
    """Return the list of published files.

    Returns:
        ``base_url``, the address of the repository's files, and ``files``, a list with ``path`` in the repository,
        ``bytes`` and ``sha256`` of each.

    Example:
        >>> sorted(manifest()["files"][0])
        ['bytes', 'path', 'sha256']
    """
    file = resources.files("v4egg.recordings.readers").joinpath("cowley_manifest.json")
    contents: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return contents


def session_entries(session: str) -> list[dict[str, Any]]:
    """Return the manifest's entries of one session, including its published models; none for an unlisted session."""
    pattern = re.compile(rf"_{session_number(session)}[._]", re.ASCII)
    return [entry for entry in manifest()["files"] if pattern.search(PurePosixPath(entry["path"]).name)]


def downloadable(folder: str | Path, session: str) -> list[dict[str, Any]]:
    """Return the manifest's entries of one session.

    Raises:
        V4eggError: the manifest does not list the session.
    """
    entries = session_entries(session)
    if not entries:
        raise V4eggError(
            f"session {session}: not in the manifest of downloads; "
            f"put its files into {folder} from github {REPOSITORY} yourself"
        )
    return entries


def download_statement(folder: str | Path, session: str) -> str:
    """Say how much a session's download is, where it comes from and under which licence.

    Raises:
        V4eggError: the manifest does not list the session.

    Example:
        >>> download_statement("data/V4_compact_models", "s190923")
        's190923: 68 files, 8.2 MB, from https://github.com/cowleygroup/V4_compact_models (licence GPL-3.0)'
    """
    entries = downloadable(folder, session)
    megabytes = sum(entry["bytes"] for entry in entries) / 1e6
    about = manifest()
    return (
        f"{session}: {len(entries)} files, {megabytes:.1f} MB, from {about['repository']} (licence {about['license']})"
    )


def manifest_digests(folder: str | Path, session: str) -> dict[str, str]:
    """Return the SHA-256 of the session's files that the manifest lists, by their path in a folder."""
    return {str(Path(folder, entry["path"])): entry["sha256"] for entry in session_entries(session)}


def existing(path: Path, what: str, session: str) -> Path:
    """Return the path of a file that exists.

    Args:
        path: the file.
        what: its contents, for the error message.
        session: the session's id, for the error message.

    Raises:
        V4eggError: there is no such file.
    """
    if not path.is_file():
        raise V4eggError(f"{path}: no such file, expected the {what} of session {session}; {_REMEDY}")
    return path


def _counts(path: Path, session: str) -> tuple[np.ndarray, bool]:
    """Counts (image, repeat, unit) in float32, and whether they are means over repeats."""
    averaged = path.parent.name == "responses_repeat_averaged"
    values = load_numeric(path)
    dims = "(unit, image)" if averaged else "(unit, image, repeat)"
    if values.ndim != (2 if averaged else 3):
        raise V4eggError(f"{path}: an array of shape {values.shape}, expected {dims}; download the file again")
    if averaged:
        values = values[:, :, None]
    if np.isnan(values).all():
        raise V4eggError(f"{path}: no response, all values are NaN; download the file again")
    _refuse(np.isinf(values).any(axis=2), path, session, "an infinite response", "download the file again")
    _refuse((values < 0).any(axis=2), path, session, "a negative spike count", "give counts, not z-scores")
    return np.ascontiguousarray(values.transpose(1, 2, 0), dtype="float32"), averaged


def _refuse(bad: np.ndarray | np.bool, path: Path, session: str, what: str, remedy: str) -> None:
    """Raise an error that names the first unit and image where ``bad`` (unit, image) is true."""
    if bad.any():
        neuron, image = np.argwhere(bad)[0].tolist()
        where = f"{unit_id(session, neuron)}, image {image + 1}"
        raise V4eggError(f"{path}: {what} for {where} (of {bad.sum()} such entries); {remedy}")


def load_numeric(path: Path) -> np.ndarray:
    """Read the real-valued array in a .npy file; nothing is unpickled.

    Raises:
        V4eggError: the file is missing, is no .npy file, is truncated, or holds Python objects or text.
    """
    try:
        with path.open("rb") as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise V4eggError(
            f"{path}: not a readable .npy array of numbers ({error}; pickled objects are never loaded); "
            "download the file again"
        ) from error
    if values.dtype.kind not in "fiu":
        raise V4eggError(f"{path}: an array of {values.dtype}, expected real numbers; download the file again")
    return values


def _images(path: Path, background: float) -> tuple[np.ndarray, list[str]]:
    """Images uint8 (image, channel, y, x) of a zip file in the order of their numbers, and their names."""
    with opened_images(path) as files:
        names = _by_number(files.names, path)
        images = read_pictures([files.file(name) for name in names], names, where=str(path), background=background)
    return images, [PurePosixPath(name).stem for name in names]


def _by_number(names: Sequence[str], path: Path) -> list[str]:
    """Names in the order of the numbers that end them: 1, 2, ... without gaps."""
    numbers: dict[int, str] = {}
    for name in names:
        digits = re.search(r"\d+$", PurePosixPath(name).stem, re.ASCII)
        if digits is None:
            raise V4eggError(f"{path}: {name} has no image number at the end of its name; remove it from the zip file")
        other = numbers.setdefault(int(digits[0]), name)
        if other != name:
            raise V4eggError(f"{path}: {other} and {name} have the same number; remove one from the zip file")
    missing = set(range(1, len(numbers) + 1)) - set(numbers)
    if missing:
        raise V4eggError(
            f"{path}: {len(numbers)} images, but none has number {min(missing)}; number them from 1 without gaps"
        )
    return [numbers[number] for number in sorted(numbers)]


class Cowley(ReaderOptions):
    """Recordings in the layout of the repository of Cowley et al.; downloaded where they are missing."""

    repeats: int | None = Field(
        None,
        ge=1,
        description="Trials behind each mean where only repeat averages are published; by default 1.",
        json_schema_extra={"x-absent": True},
    )

    def read(self, session: str, path: str, background: float = 0.5) -> Recording:
        """See :func:`read_cowley`."""
        return read_cowley(path, session, repeats=self.repeats, background=background)


class PublicLayout(Source):
    """A session in the published layout."""

    @property
    def path(self) -> str:
        """The folder of the layout."""
        return self.public_folder

    def files(self) -> list[str]:
        """Images and responses."""
        return [str(path) for path in required_files(self.public_folder, self.session)]

    def missing(self) -> list[str]:
        """Images, responses and published models that are not there yet."""
        models = [str(path) for path in published_model_files(self.public_folder, self.session)]
        return [path for path in [*self.files(), *models] if not Path(path).exists()]

    def statement(self) -> str:
        """How much the download is, and its licence."""
        return f"Download {download_statement(self.public_folder, self.session)}"

    def expected(self) -> dict[str, str]:
        """What the manifest says of the session's files."""
        return manifest_digests(self.public_folder, self.session)

    def check(self, named: bool) -> None:
        """Refuse a folder that the user named and that lacks the session."""
        if not named:
            return
        if not Path(self.public_folder).is_dir():
            raise V4eggError(
                f"V4EGG_DATA: there is no folder {self.public_folder}; name the folder that holds V4_compact_models, "
                "or unset V4EGG_DATA to download the recordings into data/"
            )
        for path in self.files():
            if not Path(path).exists():
                raise V4eggError(
                    f"session {self.session}: there is no {path}; complete the folder that V4EGG_DATA names, or leave "
                    "the session out (use_sessions)"
                )

    def external_judge(self) -> str | None:
        """The published compact models, where the session has any."""
        return "published_compact" if published_model_files(self.public_folder, self.session) else None


class PublishedModels(Source):
    """The published compact models of a session."""

    @property
    def path(self) -> str:
        """The folder of the layout."""
        return self.public_folder

    def files(self) -> list[str]:
        """A file for each unit."""
        return [str(path) for path in published_model_files(self.public_folder, self.session)]

    def expected(self) -> dict[str, str]:
        """What the manifest says of the session's files."""
        return manifest_digests(self.public_folder, self.session)
