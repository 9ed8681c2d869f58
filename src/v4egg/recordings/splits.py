"""Division of all sessions' images into train, validation and test, without near-duplicates across the divide.

Sessions share pictures, and one session can show the same picture under two names. Images are therefore first put into
groups of near-duplicates. An image that duplicates a test image of any session is excluded from fitting, and train and
validation divide whole groups. Test images are exactly those of the session's policy, so that scores compare with
published ones.
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
from v4egg.recordings.presentations import count_presentations
from v4egg.recordings.recording import Recording
from v4egg.seeding import seed_of

SIDE = 16  # px of a thumbnail: coarse enough to ignore scaling and compression, fine enough to tell scenes apart
UNIFORM_SD = 0.5  # grey levels: a thumbnail that varies less shows rounding only
BLOCK = 512  # images compared at a time


@dataclass
class Pictures:
    """Thumbnails and presentation counts of one session: all that its split needs, and small enough to keep in memory.

    Attributes:
        session: the session's id.
        image_ids: the images' names.
        thumbnails: float32 (image, 3 * 16 * 16), see :func:`thumbnails`.
        presentations: int64 (image,), how often each image was shown while any unit was recorded.
        channels: of the images, 1 (grey) or 3 (RGB).

    Example:
        >>> pictures = Pictures("s1", ["a", "b"], np.zeros((2, 768), "float32"), np.array([1, 30]))
        >>> pictures.image_ids
        ['a', 'b']
    """

    session: str
    image_ids: list[str]
    thumbnails: np.ndarray
    presentations: np.ndarray
    channels: int = 3


def pictures_of(recording: Recording, window: tuple[float, float] = (0.07, 0.17)) -> Pictures:
    """Return the :class:`Pictures` of a recording, after which the recording is no longer needed.

    Args:
        recording: one session.
        window: of the response, seconds after onset: a presentation counts if a unit was recorded throughout it.
    """
    shown = count_presentations(recording, window)
    small, channels = thumbnails(recording.images), recording.images.shape[1]
    return Pictures(recording.session, list(recording.image_ids), small, shown, channels)


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Average images over a grid of 16 x 16 equal boxes.

    Args:
        images: (n, 1 or 3 channels, y, x), intensities 0-255; a grey channel stands for all three colours.

    Returns:
        float32 (n, 3 * 16 * 16), intensities 0-255.

    Example:
        >>> thumbnails(np.full((1, 1, 20, 30), 7, "uint8")).shape
        (1, 768)
    """
    rows, columns = _box_weights(images.shape[2]), _box_weights(images.shape[3])
    result = np.empty((len(images), 3, SIDE, SIDE), "float32")  # one channel is broadcast to three
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        result[block] = rows @ images[block].astype("float32") @ columns.T
    return result.reshape(len(images), -1)


def near_duplicates(images: Sequence[np.ndarray], threshold: float = 0.99) -> list[np.ndarray]:
    """Label images that show the same picture, over all sessions.

    Args:
        images: per session, uint8 (image, 1 or 3 channels, y, x); sizes may differ between sessions.
        threshold: two images are near-duplicates if the cosine between their mean-subtracted thumbnails is above it.
            Differences of brightness, contrast, scale and compression are thus ignored.

    Returns:
        Per session, int64 (image,): the position of the first image of its duplicate group, counted through all
        sessions. Groups are connected components: near-duplicates of near-duplicates belong together.

    Example:
        >>> ramp = np.arange(256, dtype="uint8").reshape(1, 1, 16, 16)
        >>> near_duplicates([np.concatenate([ramp, 255 - ramp]), ramp // 2])
        [array([0, 1]), array([0])]
    """
    labels = _duplicate_groups(np.concatenate([thumbnails(block) for block in images]), threshold)
    return np.split(labels, np.cumsum([len(block) for block in images])[:-1])


def make_splits(
    recordings: Iterable[Recording | Pictures],
    policies: Mapping[str, str | Mapping[str, Any]],
    *,
    validation_fraction: float = 0.1,
    seed: int = 0,
    near_duplicate: float = 0.99,
    channels: int | None = None,
) -> xr.Dataset:
    """Divide the images of all sessions into train, validation, test and excluded, and say how colour is used.

    The policy of a session names its test images:

    - ``halves``: the second half of the images, in their order (the published protocol);
    - ``repeated``: images shown at least ``min_repeats`` times;
    - ``none``: no image.

    Images to which no unit has a response are excluded. All other images are used for fitting, except those in a
    duplicate group with a test image of any session, which are excluded too. A duplicate group belongs to the session
    of its first member by id. Of each session's groups ``validation_fraction`` (at least one if there are two or more)
    become validation images: those with the lowest hash of (seed, first member). Adding a session therefore leaves the
    validation images of the others unchanged unless it changes the groups.

    Synthesized images, and the images that prior and encoders learn from, are grey if the images of every session are
    grey, and RGB if any are RGB.

    Args:
        recordings: one per session; with a generator only one recording is in memory at a time.
        policies: by session, the policy's name, or a mapping with the keys ``split`` (the name) and, for ``repeated``,
            ``min_repeats``; other policies ignore the latter.
        validation_fraction: share of the duplicate groups that validate, in [0, 1).
        seed: of the division into train and validation.
        near_duplicate: the threshold of :func:`near_duplicates`.
        channels: 1 (grey) or 3 (RGB) whatever the sessions' images, as the configuration says; None: as above.

    Returns:
        A dataset of kind ``splits``: ``split`` and ``duplicate_group`` (image,), with the coordinates ``image``
        (``<session>/<image id>``, unique) and ``session``, and with the attribute ``channels``.

    Raises:
        V4eggError: a session without policy or given twice, an unknown policy, ``repeated`` without ``min_repeats`` or
            without an image shown so often, repeated image ids, a session that is left without images to fit, or RGB
            asked for where the images of all sessions are grey.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> images = Pictures("s1", list("abcdef"), 255 * rng.random((6, 768)), np.ones(6, int))
        >>> splits = make_splits([images], {"s1": "halves"}, validation_fraction=0.34)
        >>> splits["split"].values.tolist()
        ['train', 'validation', 'train', 'test', 'test', 'test']
    """
    if not 0 <= validation_fraction < 1:
        raise V4eggError(f"splits: validation_fraction is {validation_fraction}; give a number from 0 up to below 1")
    if not 0 < near_duplicate <= 1:
        raise V4eggError(f"splits: near_duplicate is {near_duplicate}; give a cosine above 0 and up to 1, such as 0.99")
    pictures = [item if isinstance(item, Pictures) else pictures_of(item) for item in recordings]
    names = _names(pictures)
    session = np.repeat([item.session for item in pictures], [len(item.image_ids) for item in pictures])
    unseen = np.concatenate([item.presentations == 0 for item in pictures])
    test = np.concatenate([images_that_test(item, policies) for item in pictures])
    duplicate_group = _duplicate_groups(np.concatenate([item.thumbnails for item in pictures]), near_duplicate)
    excluded = unseen | (np.isin(duplicate_group, duplicate_group[test]) & ~test)
    split = np.where(test, "test", np.where(excluded, "excluded", "train")).astype("<U10")
    fits = split == "train"
    _check_fit(pictures, session, fits)
    validating = _validation_groups(names[fits], session[fits], duplicate_group[fits], validation_fraction, seed)
    split[fits & np.isin(duplicate_group, validating)] = "validation"
    return xr.Dataset(
        {"split": ("image", split), "duplicate_group": ("image", duplicate_group)},
        {"image": names, "session": ("image", session)},
        {"channels": _channels(pictures, channels)},
    )


def split_of(dataset: xr.Dataset, session: str) -> np.ndarray:
    """Return the split of each image of a session.

    Args:
        dataset: of kind ``splits``.
        session: the session's id.

    Returns:
        Array of str (image,), in the order of the session's recording.

    Raises:
        V4eggError: the dataset does not hold the session.
    """
    sessions = np.array(dataset["session"].values.tolist())  # by way of a list: numpy cannot cast StringDType itself
    rows = sessions == session
    if not rows.any():
        available = ", ".join(dict.fromkeys(sessions.tolist()))
        raise V4eggError(f"splits: no session {session} among {available}; list it in the configuration's sessions")
    return np.array(dataset["split"].values.tolist())[rows]


def images_that_test(pictures: Pictures, policies: Mapping[str, str | Mapping[str, Any]]) -> np.ndarray:
    """Mark the test images of a session; one without a response tests nothing.

    Args:
        pictures: of the session; thumbnails are not looked at.
        policies: see :func:`make_splits`.

    Returns:
        bool (image,).

    Raises:
        V4eggError: there is no such policy, or it finds no test images.
    """
    options = policies.get(pictures.session, {})
    options = {"split": options} if isinstance(options, str) else options
    name = options.get("split")
    if name not in POLICIES:
        raise V4eggError(f"session {pictures.session}: split is {name}; give one of {', '.join(POLICIES)}")
    mark_test, required = POLICIES[name]
    for key in required:
        if key not in options:
            raise V4eggError(f"session {pictures.session}: split {name} needs {key}; give it beside split")
    return mark_test(pictures, **{key: options[key] for key in required}) & (pictures.presentations > 0)


def images_that_fit(recording: Recording, splits: xr.Dataset) -> np.ndarray:
    """Return the train and validation images of a session: no test image, and none that duplicates one.

    Args:
        recording: one session.
        splits: of all sessions (kind ``splits``).

    Returns:
        uint8 (n, channel, y, x).
    """
    return recording.images[np.isin(split_of(splits, recording.session), ("train", "validation"))]


def save_splits(dataset: xr.Dataset, path: str | Path, **provenance: Any) -> None:
    """Write the result of :func:`make_splits` to a store of kind ``splits``."""
    stores.save(dataset, path, "splits", **provenance)


def channels_of(path: str | Path) -> int:
    """Return the number of channels, 1 (grey) or 3 (RGB), that a store of kind ``splits`` says images have."""
    return int(stores.load(path, "splits").attrs["channels"])


def load_splits(path: str | Path) -> xr.Dataset:
    """Read the dataset of a store of kind ``splits`` into memory."""
    return stores.load(path, "splits").load()


def _box_weights(size: int) -> np.ndarray:
    """Share of each pixel in each of 16 equal boxes (16, size); rows sum to 1."""
    edges = np.linspace(0, size, SIDE + 1)
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.clip(overlap, 0, None) * SIDE / size).astype("float32")


def _duplicate_groups(thumbs: np.ndarray, threshold: float) -> np.ndarray:
    """Per image the position of the first image of its duplicate group, int64 (image,)."""
    unit = thumbs - thumbs.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(unit, axis=1, keepdims=True)
    uniform = norm[:, 0] < UNIFORM_SD * np.sqrt(thumbs.shape[1])
    unit /= np.where(uniform[:, None], np.inf, norm)  # the cosine of a uniform image is not defined
    label = _joined(np.arange(len(unit)), _uniform_pairs(thumbs, uniform))
    for start in range(0, len(unit), BLOCK):
        alike = unit[start : start + BLOCK] @ unit[start:].T > threshold
        alike &= label[start : start + BLOCK, None] != label[start:]  # pairs already in one group are not needed
        label = _joined(label, np.stack(np.nonzero(alike)) + start)
    return label


def _joined(label: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Labels after the groups of each of the ``pairs`` (2, pair) are merged; a label is its group's first position."""
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
        raise V4eggError(f"splits: image {twice} occurs twice; give each session once and each image an id of its own")
    return names


def _channels(pictures: list[Pictures], configured: int | None) -> int:
    """1 if the images of all sessions are grey and 3 otherwise, or what the configuration says."""
    shown = max(item.channels for item in pictures)
    if configured == 3 and shown == 1:
        raise V4eggError(
            "configuration key 'images.channels' is 3 (RGB), but the images of every session are grey, so that nothing "
            "says how the neurons respond to colour; remove the key, or set it to 1"
        )
    return configured or shown


def _halves(item: Pictures) -> np.ndarray:
    if len(item.image_ids) < 4:
        raise V4eggError(
            f"session {item.session}: split halves needs at least 4 images, there are {len(item.image_ids)}; "
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


# Policy -> the function that marks the test images, and the options that it needs.
POLICIES: dict[str, tuple[Callable[..., np.ndarray], tuple[str, ...]]] = {
    "halves": (_halves, ()),
    "repeated": (_repeated, ("min_repeats",)),
    "none": (_none, ()),
}


def _check_fit(pictures: list[Pictures], session: np.ndarray, fits: np.ndarray) -> None:
    """Refuse sessions without an image to fit."""
    for item in pictures:
        if not fits[session == item.session].any():
            raise V4eggError(
                f"session {item.session}: split leaves no image to fit: all {len(item.image_ids)} test, look like a "
                "test image, or have no response; change its split or leave the session out"
            )


def _validation_groups(
    names: np.ndarray, session: np.ndarray, duplicate_group: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """The duplicate groups that validate, out of those of the images to fit."""
    order = np.argsort(names)
    groups, position = np.unique(duplicate_group[order], return_index=True)  # first by id, whatever the sessions' order
    first_member, home = names[order][position], session[order][position]
    draw = np.array([seed_of(seed, "validation", name) for name in first_member])
    chosen = []
    for each in np.unique(home):
        rows = np.flatnonzero(home == each)
        n = 0 if fraction == 0 or len(rows) < 2 else max(1, round(fraction * len(rows)))
        chosen.append(groups[rows[np.argsort(draw[rows])[:n]]])
    return np.concatenate(chosen)
