"""Which image a stimulus id means: by path, name, number in the name or position.

Ids and images come from different hands. Where more than one reading is possible, the readings are compared, and
where they disagree the ids are refused with the key that decides.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal
from unicodedata import normalize

from v4egg.errors import V4eggError

IMAGE_FILES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
NumberFrom = Literal[0, 1, "name"]
_DIGITS = re.compile(r"(\d+)")
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_LISTED = 4  # how many names an error lists


def natural_key(name: str) -> tuple[Any, ...]:
    """Return the key that sorts a name naturally: numbers by value, letters without case, folder by folder.

    Example:
        >>> sorted(["b/1.png", "img_10.png", "img_2.png", "B/3.png"], key=natural_key)
        ['b/1.png', 'B/3.png', 'img_2.png', 'img_10.png']
    """
    parts = (_DIGITS.split(part.casefold()) for part in name.replace("\\", "/").split("/"))
    return (*(tuple(int(token) if i % 2 else token for i, token in enumerate(part)) for part in parts), (name,))


def natural_order(names: Iterable[str]) -> list[str]:
    """Return names in natural order, in which ``img_2`` comes before ``img_10``.

    Example:
        >>> natural_order(["img_10", "img_2", "img_1"])
        ['img_1', 'img_2', 'img_10']
    """
    return sorted(names, key=natural_key)


def match_names(
    ids: Sequence[str | int],
    names: Sequence[str | None],
    *,
    ordered: bool,
    where: str,
    number_from: NumberFrom | None = None,
    warnings: list[str] | None = None,
) -> list[int | None]:
    """Find the image that each stimulus id means.

    All ids of a session are read in one way:

    - Ids that are texts mean the image of that path or name. The suffix of an image file may be absent on either side,
      or differ where only one image has the stem; backslashes count as slashes; an id may be the end of an image's
      path, or, for absolute paths of another machine, the other way round; case may differ where nothing else fits.
    - Ids that are whole numbers, also as text such as ``12`` or ``12.0``, mean the number in the name, where each name
      holds one number that differs between names (``img_2``, ``day1/scene_0002.png``). Where the source states its
      order, that number and the position, counted from 0, must mean the same images.
    - Otherwise whole numbers are positions, if the source states its order. They count from 0 if 0 is among them, and
      from 1 if the number of images is.

    Args:
        ids: the ids, one per presentation; blanks left out.
        names: the images' names or paths inside their folder; None for images without a name, such as the frames of a
            stack.
        ordered: whether the order of ``names`` is stated by their source (``order_of_images``, frames of a stack).
            The files of a folder and an unordered container are not: give them in natural order.
        where: the file and the column, for errors.
        number_from: how whole numbers are read: positions that count from 0 or from 1, whether or not the source states
            its order, or ``name``: the number in the name. None: found as above.
        warnings: a list to which a line is added for each thing that a user should look at.

    Returns:
        For each id the position of its image in ``names``, or None where no image fits.

    Raises:
        V4eggError: an id fits several images, several ids fit one image, or whole numbers can be read in several ways
            that disagree; names the images and the key that decides.

    Example:
        >>> match_names([2, 10], ["img_1", "img_2", "img_10"], ordered=False, where="session.nwb")
        [1, 2]
        >>> match_names(["faces\\\\a", "c.png"], ["faces/a.png", "b/a.png"], ordered=False, where="session.nwb")
        [0, None]
    """
    told = [] if warnings is None else warnings
    texts = [_text(value) for value in ids]
    unique = list(dict.fromkeys(texts))
    whole = all(_WHOLE.fullmatch(text) for text in unique)
    if whole and number_from is None and any(str(_number(text)) != text for text in unique):
        places = _by_exact_name(unique, names)  # texts such as 007 that are names themselves
        if None not in places:
            return _spread(texts, unique, places)
    if not whole:
        return _spread(texts, unique, _by_name(unique, names, where, told))
    numbers = [_number(text) for text in unique]
    return _spread(texts, unique, _by_number(numbers, names, ordered, where, number_from, told))


def _text(value: Any) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    return text.strip()


def _number(text: str) -> int:
    return int(text.split(".")[0])


def _spread(texts: list[str], unique: list[str], places: list[int | None]) -> list[int | None]:
    place_of = dict(zip(unique, places, strict=True))
    return [place_of[text] for text in texts]


# --- names ------------------------------------------------------------------------------------------------------------


def _parts(name: str) -> tuple[str, ...]:
    """Folders and file of a path; letters with accents have one form, which file systems do not agree on."""
    composed = normalize("NFC", name).replace("\\", "/")
    return tuple(part for part in composed.split("/") if part not in ("", "."))


def _stem(part: str) -> str:
    """A last part of a path without the suffix of an image file."""
    suffix = PurePosixPath(part).suffix
    return part[: -len(suffix)] if suffix.lower() in IMAGE_FILES else part


def _by_exact_name(texts: list[str], names: Sequence[str | None]) -> list[int | None]:
    """Images whose whole name or stem is the text."""
    found: dict[str, set[int]] = defaultdict(set)
    for place, name in enumerate(names):
        if name is not None:
            found[name].add(place)
            found[_stem(name)].add(place)
    return [next(iter(found[text])) if len(found.get(text, ())) == 1 else None for text in texts]


def _by_name(texts: list[str], names: Sequence[str | None], where: str, told: list[str]) -> list[int | None]:
    parts = [_parts(name) if name is not None else () for name in names]
    by_stem: dict[str, list[int]] = defaultdict(list)
    for place, own in enumerate(parts):
        if own:
            by_stem[_stem(own[-1]).casefold()].append(place)
    places = [_place_of(text, parts, names, by_stem, where, told) for text in texts]
    _check_distinct(texts, places, names, where)
    return places


def _place_of(
    text: str,
    parts: list[tuple[str, ...]],
    names: Sequence[str | None],
    by_stem: dict[str, list[int]],
    where: str,
    told: list[str],
) -> int | None:
    wanted = _parts(text)
    if not wanted:
        return None
    near = by_stem.get(_stem(wanted[-1]).casefold(), [])
    ranks = {place: rank for place in near if (rank := _rank(wanted, parts[place])) is not None}
    if not ranks:
        folded = tuple(part.casefold() for part in wanted)
        own = {place: tuple(part.casefold() for part in parts[place]) for place in near}
        ranks = {place: rank for place in near if (rank := _rank(folded, own[place])) is not None}
    if not ranks:
        return None
    best = max(ranks.values())
    fitting = [place for place, rank in ranks.items() if rank == best]
    if len(fitting) > 1:
        listed = _listed([str(names[place]) for place in fitting])
        raise V4eggError(
            f"{where}: stimulus {text} fits several images, {listed}; give more of the path or the suffix in the ids, "
            "or a folder that holds only one of them"
        )
    if best[0] == 0:
        told.append(f"{where}: stimulus {text} is taken to be the image {names[fitting[0]]}, of another suffix")
    return fitting[0]


def _rank(wanted: tuple[str, ...], own: tuple[str, ...]) -> tuple[int, bool, int, bool] | None:
    """How well a path fits an image's: suffixes first, then whether the image's whole path fits, and how long it is."""
    shared = min(len(wanted), len(own))
    if shared > 1 and wanted[-shared:-1] != own[-shared:-1]:
        return None
    last, there = wanted[-1], own[-1]
    if _stem(last) != _stem(there):
        return None
    if last[len(_stem(last)) :].lower() == there[len(_stem(there)) :].lower():
        suffixes = 2
    else:
        suffixes = 1 if _stem(last) == last or _stem(there) == there else 0
    whole = len(own) <= len(wanted)
    return suffixes, whole, len(own) if whole else 0, last == there


def _check_distinct(texts: list[str], places: list[int | None], names: Sequence[str | None], where: str) -> None:
    """Refuse two ids of one image: that image is not what one of them means."""
    first: dict[int, str] = {}
    for text, place in zip(texts, places, strict=True):
        if place is None:
            continue
        other = first.setdefault(place, text)
        if _parts(other) != _parts(text):
            raise V4eggError(
                f"{where}: stimuli {other} and {text} would both be the image {names[place]}; give an image for each, "
                "or one id where they are the same"
            )


# --- whole numbers ----------------------------------------------------------------------------------------------------


def _by_number(
    numbers: list[int],
    names: Sequence[str | None],
    ordered: bool,
    where: str,
    number_from: NumberFrom | None,
    told: list[str],
) -> list[int | None]:
    count = len(names)
    if number_from in (0, 1):
        return _positions(numbers, count, int(number_from))
    in_names = _numbers_in_names(names)
    if number_from == "name":
        if in_names is None:
            raise V4eggError(
                f"{where}: number_from is name, but not each image's name holds one number that differs, such as in "
                f"{_listed([str(name) for name in names])}; set number_from to 0 or 1, or rename the images"
            )
        return [_only(number, in_names, names, where) for number in numbers]
    by_name = _named(numbers, in_names, names, where)
    if by_name is None:
        return _by_position(numbers, names, ordered, where, told)
    if None in by_name and any(place is not None for place in by_name):
        lost = next(number for number, place in zip(numbers, by_name, strict=True) if place is None)
        raise V4eggError(
            f"{where}: stimulus {lost} is the number of no image among {_listed([str(name) for name in names])}, and "
            "other stimuli are; leave it out if it is a blank, or set number_from to 0 or 1 if stimuli count positions"
        )
    if None in by_name:
        return _by_position(numbers, names, ordered, where, told)
    if ordered:
        _check_agreement(numbers, by_name, names, where)
    return by_name


def _named(
    numbers: list[int], in_names: dict[int, list[int]] | None, names: Sequence[str | None], where: str
) -> list[int | None] | None:
    """Images by the number in their name; None where names say nothing about numbers."""
    if in_names is not None:
        return [_only(number, in_names, names, where) for number in numbers]
    exact = _by_exact_name([str(number) for number in numbers], names)
    return exact if None not in exact else None


def _only(number: int, in_names: dict[int, list[int]], names: Sequence[str | None], where: str) -> int | None:
    places = in_names.get(number, [])
    if len(places) > 1:
        listed = _listed([str(names[place]) for place in places])
        raise V4eggError(
            f"{where}: stimulus {number} fits several images, {listed}; give paths or names as ids, or set number_from "
            "to 0 or 1 if stimuli count positions"
        )
    return places[0] if places else None


def _numbers_in_names(names: Sequence[str | None]) -> dict[int, list[int]] | None:
    """The number in each path, else in each name without its folders -> the images that have it.

    None where they have no number, or several that differ.
    """
    paths = {place: name.replace("\\", "/") for place, name in enumerate(names) if name is not None}
    return _one_number_each(paths) or _one_number_each({place: path.split("/")[-1] for place, path in paths.items()})


def _one_number_each(names: Mapping[int, str]) -> dict[int, list[int]] | None:
    tokens = {place: _DIGITS.split(_stem(name)) for place, name in names.items()}
    tokens = {place: found for place, found in tokens.items() if len(found) > 1}
    if not tokens:
        return None
    values = {place: [int(digits) for digits in found[1::2]] for place, found in tokens.items()}
    alike = len({tuple(found[::2]) for found in tokens.values()}) == 1
    if all(len(found) == 1 for found in values.values()):
        chosen = {place: found[0] for place, found in values.items()}
        if len(names) > 1 and len({found[1] for found in tokens.values()}) == 1:
            return None
    elif (
        alike and len(columns := {column for column in zip(*values.values(), strict=True) if len(set(column)) > 1}) == 1
    ):
        chosen = dict(zip(values, columns.pop(), strict=True))
    else:
        return None
    result: dict[int, list[int]] = defaultdict(list)
    for place, number in chosen.items():
        result[number].append(place)
    return dict(result)


def _positions(numbers: list[int], count: int, first: int) -> list[int | None]:
    return [number - first if 0 <= number - first < count else None for number in numbers]


def _by_position(
    numbers: list[int], names: Sequence[str | None], ordered: bool, where: str, told: list[str]
) -> list[int | None]:
    count = len(names)
    if not ordered:
        raise V4eggError(
            f"{where}: stimuli are whole numbers such as {numbers[0]}, but the images have no stated order and their "
            f"names ({_listed([str(name) for name in names])}) do not hold these numbers; set number_from to 0 or 1 if "
            "stimuli count the images in natural order of their names"
        )
    low, high = min(numbers), max(numbers)
    if low > 0 and high < count:
        raise V4eggError(
            f"{where}: stimuli are whole numbers from {low} to {high} of {count} images, which may count from 0 or "
            "from 1; set number_from to 0 or 1"
        )
    if low > 0 and high == count:
        told.append(f"{where}: stimuli go up to {high}, the number of images, and are taken to count from 1")
        return _positions(numbers, count, 1)
    if low > 0:
        return [None] * len(numbers)
    return _positions(numbers, count, 0)


def _check_agreement(numbers: list[int], by_name: list[int | None], names: Sequence[str | None], where: str) -> None:
    """Refuse numbers in names that contradict positions in a stated order."""
    fitting = [first for first in (0, 1) if None not in _positions(numbers, len(names), first)]
    readings = [_positions(numbers, len(names), first) for first in fitting]
    if not readings or by_name == readings[0]:
        return
    row = next(i for i, place in enumerate(by_name) if place != readings[0][i])
    there = readings[0][row]
    raise V4eggError(
        f"{where}: stimulus {numbers[row]} is the number of image {names[by_name[row] or 0]}, but the image at that "
        f"position, counted from {fitting[0]}, is {names[there or 0]}; set number_from to name, 0 or 1"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
