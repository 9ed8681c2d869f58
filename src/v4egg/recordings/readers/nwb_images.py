"""The images of an NWB session, wherever they are: containers, stacks of frames, image files beside the file."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pynwb import NWBFile
from pynwb.base import Image, Images, TimeSeries
from pynwb.image import ImageMaskSeries, ImageSeries, IndexSeries
from pynwb.ophys import OnePhotonSeries, TwoPhotonSeries

from v4egg.errors import V4eggError
from v4egg.images.files import list_image_files, read_image_file
from v4egg.images.names import IMAGE_FILES, natural_order
from v4egg.recordings.readers.description import Answer
from v4egg.recordings.readers.notes import Notes, OpenQuestion, listed
from v4egg.recordings.readers.nwb_file import found, named, path_of
from v4egg.recordings.readers.nwb_tables import FrameOf, plain

_NO_STIMULI = (TwoPhotonSeries, OnePhotonSeries, ImageMaskSeries)  # pictures of the brain, and masks


@dataclass(frozen=True)
class ImageSource:
    """Images that presentations can show.

    Attributes:
        where: the path in the file, or the folder's name, for messages.
        kind: the type in the file, such as ``Images``, or ``folder``.
        names: the images' names; None for frames without one.
        ordered: whether the source states the order of its images.
        load: reads the image at a position, as it is stored.
        shapes: of each image as it is stored; empty for image files, which are not opened.
        dtypes: of each image as it is stored; empty for image files.
        dimension: what a series states as its number of pixels in x and y, or None.
        axes: the order of the axes of arrays, ``yx`` or ``xy``.
    """

    where: str
    kind: str
    names: tuple[str | None, ...]
    ordered: bool
    load: Callable[[int], np.ndarray]
    shapes: tuple[tuple[int, ...], ...] = ()
    dtypes: tuple[str, ...] = ()
    dimension: tuple[int, int] | None = None
    axes: str = "yx"

    def __len__(self) -> int:
        return len(self.names)

    @property
    def arrays(self) -> bool:
        """Whether the images are arrays in the file, rather than image files."""
        return bool(self.shapes)

    def name(self, position: int) -> str:
        """The name of an image; of a frame without one the number in its series."""
        return self.names[position] or f"{Path(self.where).name}_{position:05d}"

    def frame(self, position: int) -> np.ndarray:
        """One image as (y, x) or (y, x, channel), with the values that are stored."""
        pixels = self.load(position)
        return upright(pixels, self.axes) if self.arrays else pixels


def upright(pixels: np.ndarray, axes: str) -> np.ndarray:
    """An image with the axes of the file as (y, x) or (y, x, channel).

    Args:
        pixels: two axes in space, and one of channels before or after them.
        axes: order of the axes in space, ``yx`` or ``xy``.

    Example:
        >>> upright(np.zeros((3, 8, 6)), "xy").shape
        (6, 8, 3)
    """
    if pixels.ndim == 3 and channels_first(pixels.shape):
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels.swapaxes(0, 1) if axes == "xy" and pixels.ndim >= 2 else pixels


def channels_first(shape: Sequence[int]) -> bool:
    """Whether the first of three axes is that of the channels: it can be, and the last one cannot."""
    return len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 2, 3, 4)


def spatial(shape: Sequence[int]) -> tuple[int, ...]:
    """The two axes in space of an image's shape, in the order of the file."""
    return tuple(shape[1:3] if channels_first(shape) else shape[:2])


def containers(nwb: NWBFile) -> dict[str, Any]:
    """Everything in a file that can hold the pictures of presentations, by its path."""
    every = found(nwb, (Images, ImageSeries))
    return {path: item for path, item in every.items() if not isinstance(item, _NO_STIMULI) and _has_images(item)}


def choose_source(path: Path, nwb: NWBFile, wanted: str | None, notes: Notes) -> ImageSource:
    """The images that the configuration names, or the only ones that there are.

    Args:
        path: the NWB file.
        nwb: its content.
        wanted: path or name of a container, or a folder beside the file; None: the only container.
        notes: of what is taken.

    Raises:
        OpenQuestion: there are no images, or several containers of them.
        V4eggError: nothing has that name, or the images cannot be read.
    """
    present = containers(nwb)
    if wanted is not None:
        return _named_source(path, nwb, wanted, present)
    shown = {where: item for where, item in present.items() if where.startswith("/stimulus")} or present
    if not shown:
        text = "it contains no images; put them into a folder beside it"
        raise OpenQuestion(path, "columns.images", text, [Answer("pictures", "for example")])
    if len(shown) > 1:
        answers = [Answer(where, contents(nwb, item)) for where, item in shown.items()]
        raise OpenQuestion(path, "columns.images", f"it has {len(shown)} containers of images", answers)
    where, item = next(iter(shown.items()))
    notes.take("columns.images", where, f"the only images in the file{_beyond(where)}")
    return source_of(path, nwb, item)


def source_of(path: Path, nwb: NWBFile, item: Any) -> ImageSource:
    """The images of a container or a series.

    Raises:
        V4eggError: it holds no images that can be read.
    """
    where = path_of(nwb, item)
    if isinstance(item, Images):
        return _of_container(item, where)
    if isinstance(item, Image):
        return replace(_of_images([item], where), kind=type(item).__name__)
    if item.external_file is not None:
        return _of_external_files(path, item, where)
    return _of_series(path, item, where)


def folder_source(folder: Path, name: str) -> ImageSource:
    """The image files of a folder and its subfolders, in natural order, named by their path inside it."""
    files = list_image_files(folder)
    names = tuple(file.relative_to(folder).as_posix() for file in files)
    return ImageSource(f"the folder {name}", "folder", names, False, lambda i: read_image_file(files[i]))


def contents(nwb: NWBFile, item: Any) -> str:
    """Number and kind of the images of a container, for a list of choices."""
    kind = type(item).__name__
    if isinstance(item, Images):
        return f"{len(item.images)} images, {kind}"
    if item.external_file is not None:
        return f"{len(item.external_file)} external files, {kind}"
    return f"{item.data.shape[0]} frames, {kind}"


def _named_source(path: Path, nwb: NWBFile, wanted: str, present: dict[str, Any]) -> ImageSource:
    fitting = named(present, wanted)
    folder = path.parent / wanted
    if len(fitting) > 1:
        answers = [Answer(where, contents(nwb, item)) for where, item in fitting.items()]
        raise OpenQuestion(
            path, "columns.images", f"{len(fitting)} containers of images have the name {wanted}", answers
        )
    if fitting and folder.is_dir() and not wanted.startswith(("/", ".")):
        raise V4eggError(
            f"{path}: columns.images names both {next(iter(fitting))} in the file and a folder beside it; "
            f"write {next(iter(fitting))} or ./{wanted}"
        )
    if fitting:
        return source_of(path, nwb, next(iter(fitting.values())))
    if folder.is_dir():
        return folder_source(folder, wanted)
    raise V4eggError(
        f"{path}: columns.images names {wanted}, neither images in the file nor a folder beside it; "
        f"images are in {listed(present)}"
    )


def _has_images(item: Any) -> bool:
    """Whether a container or series holds pictures, and no movie."""
    if isinstance(item, Images):
        return len(item.images) > 0
    if item.external_file is not None:
        return all(str(name).lower().endswith(IMAGE_FILES) for name in item.external_file[:])
    return item.data is not None and len(item.data.shape) in (3, 4) and 0 not in item.data.shape


def _beyond(where: str) -> str:
    return "" if where.startswith("/stimulus") else ", though not among its stimuli"


def _of_container(item: Images, where: str) -> ImageSource:
    if item.order_of_images is not None:
        return _of_images(list(item.order_of_images.data), where)
    images = dict(item.images)
    return replace(_of_images([images[name] for name in natural_order(images)], where), ordered=False)


def _of_images(images: Sequence[Any], where: str) -> ImageSource:
    return ImageSource(
        where,
        "Images",
        tuple(str(image.name) for image in images),
        True,
        lambda i: np.asarray(images[i].data[:]),
        tuple(tuple(image.data.shape) for image in images),
        tuple(str(image.data.dtype) for image in images),
    )


def _of_series(path: Path, item: ImageSeries, where: str) -> ImageSource:
    data = item.data
    if not _has_images(item):
        raise V4eggError(f"{path}: {where} contains no frames itself; name a folder of image files in columns.images")
    dimension = None if item.dimension is None else tuple(int(n) for n in item.dimension[:2])
    return ImageSource(
        where,
        type(item).__name__,
        frame_names(item, len(data)),
        True,
        lambda i: np.asarray(data[i]),
        (tuple(data.shape[1:]),) * len(data),
        (str(data.dtype),) * len(data),
        dimension if dimension and len(dimension) == 2 else None,
    )


def frame_names(item: TimeSeries, frames: int) -> tuple[str | None, ...]:
    """Names of the frames of a series, from its control descriptions, if each frame has its own; else None each."""
    if item.control_description is None:
        return (None,) * frames
    words = [str(plain(word)) for word in item.control_description[:]]
    codes = range(frames) if item.control is None else [int(code) for code in item.control[:]]
    fitting = len(codes) == frames and all(0 <= code < len(words) for code in codes)
    names = tuple(words[code] for code in codes) if fitting else ()
    return names if len(set(names)) == frames else (None,) * frames


def _of_external_files(path: Path, item: ImageSeries, where: str) -> ImageSource:
    names = tuple(str(plain(name)) for name in item.external_file[:])
    files = [path.parent / name.replace("\\", "/") for name in names]
    if not _has_images(item):
        raise V4eggError(
            f"{path}: {where} has its frames in a movie, {names[0]}; save them as image files in a folder beside the "
            "file and name it in columns.images"
        )
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise V4eggError(
            f"{path}: {where} has its images in {len(files)} files, of which {len(missing)} are not there, such as "
            f"{missing[0]}; put them beside the NWB file"
        )
    return ImageSource(where, "external files", names, True, lambda i: read_image_file(files[i]))


def with_axes(path: Path, nwb: NWBFile, source: ImageSource, wanted: str | None, notes: Notes) -> ImageSource:
    """The images with the order of their axes.

    Args:
        path: the NWB file, for messages.
        nwb: its content.
        source: the images.
        wanted: the order that the configuration states, ``yx`` or ``xy``; None: what shapes and the file tell, else
            ``yx``, as users of pynwb write arrays, with a warning.
        notes: of what is taken.
    """
    if not source.arrays or wanted is not None:
        return replace(source, axes=wanted or source.axes)
    axes, why = _axes_of_shape(source) or _axes_of_program(nwb) or ("yx", "")
    notes.take("columns.axes", axes, why or "the file does not tell, and Python writes rows first", bool(why))
    if not why or axes == "xy":
        other = "xy" if axes == "yx" else "yx"
        notes.warnings.append(
            f"{path.name}: images of {source.where} are read with axes {axes}{' because ' + why if why else ''}; if "
            f"pictures appear transposed, set columns.axes to {other}"
        )
    return replace(source, axes=axes)


def _axes_of_shape(source: ImageSource) -> tuple[str, str] | None:
    """What the stated numbers of pixels in x and y tell of images that are not square."""
    if source.dimension is None or source.dimension[0] == source.dimension[1]:
        return None
    stored = spatial(source.shapes[0])
    told = {source.dimension: "xy", source.dimension[::-1]: "yx"}
    why = f"its dimension says {source.dimension[0]} x {source.dimension[1]} pixels (x, y)"
    return (told[stored], why) if stored in told else None


def _axes_of_program(nwb: NWBFile) -> tuple[str, str] | None:
    """Whether MATLAB wrote the file, which stores (y, x) arrays as (x, y)."""
    written_by = str(plain_list(nwb.was_generated_by)).lower()
    script = str(nwb.source_script_file_name or "").lower()
    if "matnwb" in written_by or script.endswith((".m", ".mlx")):
        return "xy", "MATLAB wrote the file, which reverses axes"
    return None


def plain_list(value: Any) -> list[Any]:
    """The entries of an optional field of a file, as plain values."""
    return [] if value is None else [[plain(one) for one in np.atleast_1d(row)] for row in value]


def equal_frames(source: ImageSource, position: np.ndarray) -> np.ndarray:
    """Positions with equal frames, byte for byte, replaced by the first of them, int64 (presentation,)."""
    first: dict[bytes, int] = {}
    result = []
    for one in position.tolist():
        frame = np.ascontiguousarray(source.load(one))
        result.append(first.setdefault(hashlib.sha256(frame.tobytes()).digest(), one))
    return np.array(result, int)


def telling_frames(source: ImageSource, used: np.ndarray) -> Iterator[np.ndarray]:
    """The images that decide which values are black and white, one at a time.

    Of arrays these are all images of the dtypes that were shown, and bytes only until they use their range; of image
    files those that were shown.

    Args:
        source: the images.
        used: int64, positions of the images that were shown.
    """
    if not source.arrays:
        yield from (source.frame(int(position)) for position in used)
        return
    dtypes = {source.dtypes[position] for position in used}
    bright = False
    for position, (shape, dtype) in enumerate(zip(source.shapes, source.dtypes, strict=True)):
        if dtype not in dtypes or (bright and dtype == "uint8" and _is_opaque(shape)):
            continue
        frame = source.frame(position)
        bright = bright or (dtype == "uint8" and bool(frame.max() > 1))
        yield frame


def _is_opaque(shape: Sequence[int]) -> bool:
    """Whether an image of this shape has no alpha channel."""
    return len(shape) == 2 or (shape[0] if channels_first(shape) else shape[-1]) in (1, 3)


def objects_source(path: Path, nwb: NWBFile, items: Sequence[Any]) -> tuple[ImageSource, np.ndarray]:
    """The images that ids refer to themselves, as objects or as samples of a series.

    Args:
        path: the NWB file, for messages.
        nwb: its content.
        items: what each presentation refers to.

    Returns:
        The images; and for each presentation the position of its image among them.

    Raises:
        V4eggError: an id refers to something that is not one image.
    """
    sources: dict[str, ImageSource] = {}
    frames: dict[tuple[str, int], int] = {}
    positions = []
    for item in items:
        where, number = _place(path, nwb, item, sources)
        positions.append(frames.setdefault((where, number), len(frames)))
    return _joined(sources, list(frames)), np.array(positions, int)


def _place(path: Path, nwb: NWBFile, item: Any, sources: dict[str, ImageSource]) -> tuple[str, int]:
    """Where the image lies that an id refers to, and its number there; notes the place in ``sources``."""
    holder, number = (item.series, item.start) if isinstance(item, FrameOf) else (item, 0)
    if isinstance(item, FrameOf) and item.count > 1:
        raise V4eggError(
            f"{path}: a presentation refers to {item.count} samples of {item.series.name}, not to one image"
        )
    if isinstance(holder, IndexSeries):
        number = int(holder.data[number])
        holder = holder.indexed_images if holder.indexed_images is not None else holder.indexed_timeseries
    if not isinstance(holder, Image | Images | ImageSeries):
        raise V4eggError(f"{path}: a presentation refers to {holder.name}, a {type(holder).__name__} and not an image")
    where = path_of(nwb, holder)
    if where not in sources:
        sources[where] = source_of(path, nwb, holder)
    if not isinstance(item, FrameOf) and len(sources[where]) > 1:
        raise V4eggError(f"{path}: a presentation refers to {where} as a whole, {len(sources[where])} images")
    if not 0 <= number < len(sources[where]):
        raise V4eggError(f"{path}: a presentation refers to image {number} of {where}, which has {len(sources[where])}")
    return where, number


def _joined(sources: dict[str, ImageSource], frames: list[tuple[str, int]]) -> ImageSource:
    """Chosen images of several sources as one source."""
    parts = [(sources[where], number) for where, number in frames]
    alone = {where for where, source in sources.items() if len(source) == 1}  # the path of an image ends in its name
    names = [source.name(number) for source, number in parts]
    if len(set(names)) < len(names):
        paths = [where.strip("/") for where, _ in frames]
        names = [
            path if where in alone else f"{path}/{name}"
            for path, (where, _), name in zip(paths, frames, names, strict=True)
        ]
    places = [str(Path(where).parent) if where in alone else where for where in sources]
    arrays = all(source.arrays for source, _ in parts)
    return ImageSource(
        listed(dict.fromkeys(places)),
        "references",
        tuple(names),
        True,
        lambda i: parts[i][0].load(parts[i][1]),
        tuple(source.shapes[number] for source, number in parts) if arrays else (),
        tuple(source.dtypes[number] for source, number in parts) if arrays else (),
    )
