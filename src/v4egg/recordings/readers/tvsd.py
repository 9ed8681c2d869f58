"""Reader of the THINGS ventral stream spiking dataset (TVSD): multi-unit activity of two macaques.

Source: Papale, Wang, Self & Roelfsema (2025), "An extensive dataset of spiking activity to reveal the syntax of the
ventral stream", Neuron; files at G-Node GIN, ``paolo_papale/TVSD``.

Of each monkey two files are read, both MATLAB 7.3 (HDF5, so that h5py shows axes in reverse order)::

    monkeyF/THINGS_normMUA.mat     train_MUA (image, channel), one presentation of each image
                                   test_MUA_reps (repeat, image, channel)
                                   SNR_max, oracle, reliab: of each channel
    monkeyF/_logs/things_imgs.mat  train_imgs and test_imgs, each with things_path, one path per image

Responses are multi-unit activity, less its value before the image and normalized by the authors' rule: no counts of
spikes, and negative where activity falls. The images are those of THINGS, which are to be had apart.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pandas as pd
from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.recordings.readers.description import Answer, Description, Question, Taken, UnitFacts
from v4egg.recordings.readers.image_files import NAMED, read_pictures
from v4egg.recordings.readers.reader import ReaderOptions
from v4egg.recordings.recording import Recording
from v4egg.recordings.sources import OwnFile
from v4egg.registry import PathText

RESPONSE_UNIT = "normalized multi-unit activity"
CHANNELS = {  # monkey -> area -> first channel and the one after the last, counted from 0
    "F": {"V1": (0, 512), "IT": (512, 832), "V4": (832, 1024)},
    "N": {"V1": (0, 512), "V4": (512, 768), "IT": (768, 1024)},
}
WINDOW_MS = {"V1": (25, 125), "V4": (50, 150), "IT": (75, 175)}
ARRAY = 64  # channels of one array of electrodes
_ALL = 1024
_QUALITY = {"SNR_max": "published_snr", "oracle": "published_oracle", "reliab": "published_reliability"}

Monkey = Literal["F", "N"]
Area = Literal["V1", "V4", "IT"]


def read_tvsd(
    path: str | Path,
    session: str,
    *,
    images: str | Path,
    image_names: str | Path | None = None,
    monkey: Monkey | None = None,
    area: Area = "V4",
    image_size: int | None = 112,
    background: float = 0.5,
) -> Recording:
    """Read the responses of one monkey to the images of THINGS.

    Args:
        path: ``THINGS_normMUA.mat``.
        session: session id; unit ids are ``<session>-u<channel>``, channels counted from 0.
        images: folder of the images of THINGS, with a subfolder per object such as ``aardvark/aardvark_01b.jpg``.
        image_names: ``things_imgs.mat``; None: ``_logs/things_imgs.mat`` beside the file.
        monkey: whose file it is; None: as a folder of its path says, such as ``monkeyF``.
        area: the area whose channels are read.
        image_size: px of the shorter side to which images are reduced when they are read; None: as they are.
        background: grey level behind transparent images, in units of [0, 1].

    Returns:
        A recording with ``counts`` float32 (image, repeat, unit) in ``response_unit``: first the train images with one
        repeat, then the test images with all of theirs; NaN-padded. ``units`` has the columns ``channel``, ``array``
        and what the authors computed of each channel.

    Raises:
        V4eggError: a file is missing, damaged or of another layout, an image is missing, or the monkey is not known.
    """
    path, images = Path(path), Path(images)
    names_file = Path(image_names) if image_names else path.parent / "_logs/things_imgs.mat"
    channels = np.arange(*CHANNELS[monkey or monkey_of(path)][area])
    with _opened(names_file) as file:
        train, test = (_image_paths(names_file, file, group) for group in ("train_imgs", "test_imgs"))
    with _opened(path) as file:
        counts = _responses(path, file, channels, len(train), len(test))
        units = _units(path, file, channels, session)
    names = [*train, *test]
    pictures = read_pictures(_files(images, names), names, where=str(images), size=image_size, background=background)
    return Recording(
        session=session,
        images=pictures,
        units=units,
        image_ids=names,
        counts=counts,
        attrs={"source": f"TVSD: {path.name}", "area": area, "window_ms": list(WINDOW_MS[area])},
        response_unit=RESPONSE_UNIT,
    )


def describe_tvsd(path: Path) -> Description | None:
    """What a file of TVSD holds, and where its images are, which has to be said; None if it is no such file."""
    if path.suffix.lower() != ".mat" or not h5py.is_hdf5(path):
        return None
    with _opened(path) as file:
        if "train_MUA" not in file or "test_MUA_reps" not in file:
            return None
        train, (repeats, test, _) = file["train_MUA"].shape[0], file["test_MUA_reps"].shape
    kind = f"TVSD, {train} images shown once and {test} shown {repeats} times, {RESPONSE_UNIT}"
    result = Description("tvsd", kind, options={"file": str(path)})
    text = "the images of THINGS are in a folder of their own"
    result.questions = [Question("images", text, [Answer("object_images", "for example")])]
    try:
        monkey = monkey_of(path)
    except V4eggError:
        answers = [Answer(name, f"monkey {name}") for name in CHANNELS]
        result.questions += [Question("monkey", "the path does not name the monkey", answers)]
    else:
        first, last = CHANNELS[monkey]["V4"]
        result.taken = [
            Taken("monkey", monkey, "as a folder of the path says"),
            Taken("area", "V4", f"channels {first} to {last - 1}"),
        ]
        result.units = UnitFacts(last - first, note=f"channels of V4 of {_ALL}")
    return result


def monkey_of(path: Path) -> Monkey:
    """The monkey that a folder of the path names.

    Raises:
        V4eggError: none or both are named.

    Example:
        >>> monkey_of(Path("TVSD/monkeyN/THINGS_normMUA.mat"))
        'N'
    """
    named = {match[1] for part in path.absolute().parts if (match := re.fullmatch(r"monkey_?([FN])", part))}
    if len(named) != 1:
        raise V4eggError(f"{path}: no folder monkeyF or monkeyN tells whose file this is; set monkey to F or N")
    return "F" if named == {"F"} else "N"


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise V4eggError(f"{path}: no such file; correct the path, or fetch it from paolo_papale/TVSD")
    if not h5py.is_hdf5(path):
        raise V4eggError(f"{path}: no MATLAB 7.3 file, or cut off; fetch it again")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise V4eggError(f"{path}: not readable ({' '.join(str(error).split())[:100]}); fetch it again") from error


def _image_paths(path: Path, file: h5py.File, group: str) -> list[str]:
    """Paths of the images in the order of the responses: a MATLAB struct array, each field a column of references."""
    if group not in file or "things_path" not in file[group]:
        raise V4eggError(f"{path}: no {group}.things_path in the file; give things_imgs.mat of TVSD in image_names")
    references = np.asarray(file[group]["things_path"]).ravel()
    return [_text(file[reference]).replace("\\", "/") for reference in references]


def _text(characters: h5py.Dataset) -> str:
    return np.asarray(characters).astype("<u2").tobytes().decode("utf-16-le")


def _responses(path: Path, file: h5py.File, channels: np.ndarray, train: int, test: int) -> np.ndarray:
    """Responses float32 (image, repeat, unit) of some channels; the others are not read."""
    expected = {"train_MUA": f"({train}, {_ALL})", "test_MUA_reps": f"(repeat, {test}, {_ALL})"}
    for name, shape in expected.items():
        if name not in file:
            raise V4eggError(f"{path}: no {name} in the file; give THINGS_normMUA.mat of TVSD")
        found = file[name].shape
        fits = found == (train, _ALL) if name == "train_MUA" else len(found) == 3 and found[1:] == (test, _ALL)
        if not fits:
            raise V4eggError(
                f"{path}: {name} has shape {found}, expected {shape} for the images of things_imgs.mat; give both "
                "files of one monkey"
            )
    chosen = slice(int(channels[0]), int(channels[-1]) + 1)
    repeats = file["test_MUA_reps"].shape[0]
    counts = np.full((train + test, repeats, len(channels)), np.nan, "float32")
    counts[:train, 0] = file["train_MUA"][:, chosen]
    counts[train:] = np.swapaxes(file["test_MUA_reps"][:, :, chosen], 0, 1)
    return counts


def _units(path: Path, file: h5py.File, channels: np.ndarray, session: str) -> pd.DataFrame:
    columns: dict[str, np.ndarray] = {"channel": channels, "array": channels // ARRAY}
    for name, column in _QUALITY.items():
        if name in file and file[name].shape[-1:] == (_ALL,):
            values = np.asarray(file[name][..., int(channels[0]) : int(channels[-1]) + 1], "float64")
            columns[column] = values.reshape(-1, len(channels)).mean(axis=0)
    ids = [f"{session}-u{channel:03d}" for channel in channels]
    return pd.DataFrame(columns, index=pd.Index(ids, name="unit"))


def _files(folder: Path, names: list[str]) -> list[Path]:
    if not folder.is_dir():
        raise V4eggError(f"{folder}: there is no such folder of images; set images to that of THINGS")
    files = [folder / name for name in names]
    missing = [name for name, file in zip(names, files, strict=True) if not file.is_file()]
    if missing:
        raise V4eggError(
            f"{folder}: {len(missing)} of {len(names)} images of THINGS are not there, such as "
            f"{', '.join(missing[:NAMED])}; set images to the folder that holds the folders of objects"
        )
    return files


class Tvsd(ReaderOptions):
    """Multi-unit activity of one monkey of the THINGS ventral stream spiking dataset (TVSD)."""

    file: PathText = Field(description="Path of THINGS_normMUA.mat of one monkey.")
    images: PathText = Field(description="Folder of the images of THINGS, with a folder per object.")
    image_names: PathText | None = Field(
        None, description="Path of things_imgs.mat; null: _logs/things_imgs.mat beside the file."
    )
    monkey: Monkey | None = Field(None, description="Whose file it is; null: as a folder of its path says: monkeyF.")
    area: Area = Field("V4", description="The area whose channels are read.")
    image_size: int | None = Field(
        112,
        ge=8,
        description="Pixels of the shorter side to which images are reduced as they are read; null: as they are, which "
        "takes tens of GB.",
    )

    @classmethod
    def describe(cls, path: Path) -> Description | None:
        """See :func:`describe_tvsd`."""
        return describe_tvsd(path)

    def read(self, session: str, path: str, background: float = 0.5) -> Recording:
        """See :func:`read_tvsd`."""
        return read_tvsd(
            path,
            session,
            images=self.images,
            image_names=self.image_names,
            monkey=self.monkey,
            area=self.area,
            image_size=self.image_size,
            background=background,
        )


class TvsdFiles(OwnFile):
    """The files of one monkey, and the folder of images."""

    def files(self) -> list[str]:
        """Responses, and names of images."""
        names = self.options.get("image_names") or Path(self.path).parent / "_logs/things_imgs.mat"
        return [self.path, str(names)]

    def folders(self) -> list[str]:
        """The images."""
        return [str(self.options["images"])]

    def counts_spikes(self) -> bool:
        """Normalized activity is no count."""
        return False
