"""Which images fit, validate and test, over all sessions at once: the same picture never falls on both sides.

Sessions share pictures, and a session can show one picture under two names. Pictures are therefore grouped by likeness
before they are split; a fit image that looks like any test image of any session is excluded, and train and validation
divide groups, not images. Test images stay exactly as their policy says, so that scores compare with published ones.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.recordings.recording import Recording
from v4egg.seeding import seed_of

SIDE = 16  # px of a thumbnail: coarse enough to see through scaling and compression, fine enough to tell scenes apart
UNIFORM_SD = 0.5  # grey levels: below it a thumbnail holds nothing but rounding
BLOCK = 512  # images compared at a time


@dataclass
class Pictures:
    """What a split needs of one session, small enough to hold for many sessions at once.

    Attributes:
        session: the session's id.
        image_ids: the images' names.
        thumbnails: float32 (image, 3 * 16 * 16), see :func:`thumbnails`.
        presentations: int64 (image,), how often each image was shown.
    """

    session: str
    image_ids: list[str]
    thumbnails: np.ndarray
    presentations: np.ndarray


def pictures_of(recording: Recording) -> Pictures:
    """The :class:`Pictures` of a recording; the recording itself may then be let go."""
    return Pictures(
        recording.session, list(recording.image_ids), thumbnails(recording.images), count_presentations(recording)
    )


def count_presentations(recording: Recording) -> np.ndarray:
    """How often each image was shown (image,): rows of the trials, or finite repeats of the best recorded unit."""
    if recording.trials is not None:
        return np.bincount(recording.trials["image"].to_numpy(), minlength=len(recording.images)).astype("int64")
    return np.isfinite(recording.counts).any(axis=2).sum(axis=1) * recording.repeats_averaged


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Images (n, 1 or 3 channels, y, x) as float32 (n, 3 * 16 * 16) of intensities 0-255, averaged over equal boxes."""
    rows, columns = _box_weights(images.shape[2]), _box_weights(images.shape[3])
    result = np.empty((len(images), 3, SIDE, SIDE), "float32")  # one channel is broadcast to three
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        result[block] = rows @ images[block].astype("float32") @ columns.T
    return result.reshape(len(images), -1)


def near_duplicates(images: Sequence[np.ndarray], threshold: float = 0.99) -> list[np.ndarray]:
    """Group labels of images that show the same picture, over all sessions.

    Args:
        images: per session, uint8 (image, 1 or 3 channels, y, x); sizes may differ between sessions.
        threshold: cosine between thumbnails without their mean above which two images are the same picture.
            Brightness and contrast, scale and compression make no difference.

    Returns:
        Per session, int64 (image,): the position, counted through all sessions, of the first image of its group.
    """
    labels = _groups(np.concatenate([thumbnails(block) for block in images]), threshold)
    return np.split(labels, np.cumsum([len(block) for block in images])[:-1])


def make_splits(
    recordings: Iterable[Recording | Pictures],
    policies: Mapping[str, str | Mapping[str, Any]],
    *,
    validation_fraction: float = 0.1,
    seed: int = 0,
    near_duplicate: float = 0.99,
) -> xr.Dataset:
    """Divide the images of all sessions into train, validation, test and excluded.

    Which images test is said per session by its policy:

    - ``halves``: the second half of the images, in their order (the published protocol);
    - ``repeated``: images shown at least ``min_repeats`` times;
    - ``none``: no image.

    The rest fits, but for images in a group with a test image of any session, which are excluded. Of the fit groups
    whose first member (by id) lies in a session, ``validation_fraction`` (at least one, where there are two)
    validate: those of lowest hash of (seed, first member). So another session does not change who validates in this
    one, unless it changes the groups.

    Args:
        recordings: one a session; a generator keeps only one recording in memory at a time.
        policies: by session, the policy's name or a mapping with the keys ``split`` (the name) and, for ``repeated``,
            ``min_repeats``; other policies ignore that.
        validation_fraction: of the fit groups, in [0, 1).
        seed: of the division into train and validation.
        near_duplicate: the threshold of :func:`near_duplicates`.

    Returns:
        A dataset of kind ``splits``: ``split`` and ``group`` (image,), with the coordinates ``image``
        (``<session>/<image id>``, unique) and ``session``.

    Raises:
        V4eggError: a session without policy or twice, an unknown policy, ``repeated`` without ``min_repeats`` or with
            no image shown so often, image ids that repeat, or a session that is left without fit images.
    """
    if not 0 <= validation_fraction < 1:
        raise V4eggError(f"splits: validation_fraction is {validation_fraction}; give a number from 0 up to below 1")
    if not 0 < near_duplicate <= 1:
        raise V4eggError(f"splits: near_duplicate is {near_duplicate}; give a cosine above 0 and up to 1, such as 0.99")
    pictures = [item if isinstance(item, Pictures) else pictures_of(item) for item in recordings]
    names = _names(pictures)
    session = np.repeat([item.session for item in pictures], [len(item.image_ids) for item in pictures])
    test = np.concatenate([_test_images(item, policies) for item in pictures])
    group = _groups(np.concatenate([item.thumbnails for item in pictures]), near_duplicate)
    excluded = np.isin(group, group[test]) & ~test
    split = np.where(test, "test", np.where(excluded, "excluded", "train")).astype("<U10")
    fits = split == "train"
    _check_fit(pictures, session, fits)
    validating = _validating_groups(names[fits], session[fits], group[fits], validation_fraction, seed)
    split[fits & np.isin(group, validating)] = "validation"
    return xr.Dataset(
        {"split": ("image", split), "group": ("image", group)}, {"image": names, "session": ("image", session)}
    )


def split_of(dataset: xr.Dataset, session: str) -> np.ndarray:
    """The split of each image of a session, in the order of its recording: array of str (image,).

    Raises:
        V4eggError: the dataset does not hold the session.
    """
    sessions = np.array(dataset["session"].values.tolist())  # numpy casts no StringDType to a width of its own finding
    here = sessions == session
    if not here.any():
        known = ", ".join(dict.fromkeys(sessions.tolist()))
        raise V4eggError(f"splits: no session {session} among {known}; list it in the configuration's sessions")
    return np.array(dataset["split"].values.tolist())[here]


def save_splits(dataset: xr.Dataset, path: str | Path, **provenance: Any) -> None:
    """Write the result of :func:`make_splits` to a store of kind ``splits``."""
    stores.save(dataset, path, "splits", **provenance)


def load_splits(path: str | Path) -> xr.Dataset:
    """The dataset of a store of kind ``splits``."""
    return stores.load(path, "splits").load()


def _box_weights(size: int) -> np.ndarray:
    """(16, size): how much of each pixel lies in each of 16 equal boxes, rows summing to 1."""
    edges = np.linspace(0, size, SIDE + 1)
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.clip(overlap, 0, None) * SIDE / size).astype("float32")


def _groups(thumbs: np.ndarray, threshold: float) -> np.ndarray:
    """Per image the position of the first image of its group: connected components of likeness, int64 (image,)."""
    unit = thumbs - thumbs.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(unit, axis=1, keepdims=True)
    uniform = norm[:, 0] < UNIFORM_SD * np.sqrt(thumbs.shape[1])
    unit /= np.where(uniform[:, None], np.inf, norm)  # a uniform image is like no other by its cosine
    label = _joined(np.arange(len(unit)), _uniform_pairs(thumbs, uniform))
    for start in range(0, len(unit), BLOCK):
        alike = unit[start : start + BLOCK] @ unit[start:].T > threshold
        alike &= label[start : start + BLOCK, None] != label[start:]  # joined already: keeps the pairs few
        label = _joined(label, np.stack(np.nonzero(alike)) + start)
    return label


def _joined(label: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Labels after joining the groups of each of the ``pairs`` (2, pair); a label is its group's first position."""
    n = len(label)
    row, column = np.concatenate([pairs, [np.arange(n), label]], axis=1)
    graph = coo_array((np.ones(len(row), bool), (row, column)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first, member_of = np.unique(component, return_index=True, return_inverse=True)
    return first[member_of].astype("int64")


def _uniform_pairs(thumbs: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Each uniform image with the first one of the same grey level: (2, pair)."""
    positions = np.flatnonzero(uniform)
    level = np.rint(thumbs[positions].mean(axis=1))
    _, first, level_of = np.unique(level, return_index=True, return_inverse=True)
    return np.stack([positions, positions[first[level_of]]])


def _names(pictures: list[Pictures]) -> np.ndarray:
    if not pictures:
        raise V4eggError("splits: no session; list at least one in the configuration's sessions")
    names = np.array([f"{item.session}/{name}" for item in pictures for name in item.image_ids])
    unique, count = np.unique(names, return_counts=True)
    if len(unique) < len(names):
        twice = unique[count > 1][0]
        raise V4eggError(f"splits: image {twice} is there twice; give each session once and each image its own id")
    return names


def _halves(item: Pictures) -> np.ndarray:
    if len(item.image_ids) < 4:
        raise V4eggError(
            f"session {item.session}: split halves needs 4 images or more, there are {len(item.image_ids)}; "
            "set split to none, or leave the session out"
        )
    return np.arange(len(item.image_ids)) >= len(item.image_ids) // 2


def _repeated(item: Pictures, min_repeats: int) -> np.ndarray:
    test = item.presentations >= min_repeats
    if not test.any():
        raise V4eggError(
            f"session {item.session}: split repeated finds no image shown min_repeats = {min_repeats} times "
            f"(at most {item.presentations.max()}); lower min_repeats"
        )
    return test


def _none(item: Pictures) -> np.ndarray:
    return np.zeros(len(item.image_ids), bool)


POLICIES: dict[str, tuple[Callable[..., np.ndarray], tuple[str, ...]]] = {  # the test mask, and the options it needs
    "halves": (_halves, ()),
    "repeated": (_repeated, ("min_repeats",)),
    "none": (_none, ()),
}


def _test_images(item: Pictures, policies: Mapping[str, str | Mapping[str, Any]]) -> np.ndarray:
    options = policies.get(item.session, {})
    options = {"split": options} if isinstance(options, str) else options
    name = options.get("split")
    if name not in POLICIES:
        raise V4eggError(f"session {item.session}: split is {name}; give one of {', '.join(POLICIES)}")
    mask, needed = POLICIES[name]
    for key in needed:
        if key not in options:
            raise V4eggError(f"session {item.session}: split {name} needs {key}; give it beside split")
    return mask(item, **{key: options[key] for key in needed})


def _check_fit(pictures: list[Pictures], session: np.ndarray, fits: np.ndarray) -> None:
    for item in pictures:
        if not fits[session == item.session].any():
            raise V4eggError(
                f"session {item.session}: split leaves no image to fit: all {len(item.image_ids)} test or "
                "look like a test image; change its split or leave the session out"
            )


def _validating_groups(
    names: np.ndarray, session: np.ndarray, group: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """The groups that validate, out of the images that fit."""
    order = np.argsort(names)
    groups, at = np.unique(group[order], return_index=True)  # the first member by id, whatever the order of sessions
    first, home = names[order][at], session[order][at]
    draw = np.array([seed_of(seed, "validation", name) for name in first])
    chosen = []
    for each in np.unique(home):
        mine = np.flatnonzero(home == each)
        n = 0 if fraction == 0 or len(mine) < 2 else max(1, round(fraction * len(mine)))
        chosen.append(groups[mine[np.argsort(draw[mine])[:n]]])
    return np.concatenate(chosen)


def images_that_fit(recording: Recording, splits: xr.Dataset) -> np.ndarray:
    """The train and validation images of a session, uint8 (n, c, y, x): no test image, and none that resembles one.

    Args:
        recording: one session.
        splits: of all sessions (kind ``splits``).
    """
    return recording.images[np.isin(split_of(splits, recording.session), ("train", "validation"))]
