"""What a user has to know of a recording before anything is made from it: how much of everything there is."""

from dataclasses import dataclass, field

import numpy as np

from v4egg.recordings.presentations import count_presentations
from v4egg.recordings.recording import Recording


@dataclass
class Outline:
    """A recording without its pixels and spikes.

    Attributes:
        images: number of images that were shown.
        shape: of each of them: channels, y, x; None if it is not known.
        units: number of units.
        presentations: int64 (image,), how often each image was shown.
        left_out: reason -> number of presentations that the reader left out.
        warnings: what a user should look at, one line each.

    Example:
        >>> str(Outline(2, (1, 24, 24), 30, np.array([3, 4]), {"stimulus is blank": 5}))
        '2 grey images of 24 x 24 px, 30 units, 7 presentations (3 to 4 of each image), 5 left out (stimulus is blank)'
    """

    images: int
    shape: tuple[int, int, int] | None
    units: int
    presentations: np.ndarray
    left_out: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [
            f"{self.images} {_look(self.shape)}",
            f"{self.units} units",
            f"{self.presentations.sum()} presentations ({repeats(self.presentations)} of each image)",
            *(f"{number} left out ({reason})" for reason, number in self.left_out.items()),
        ]
        return ", ".join(parts)


def outline_of(recording: Recording) -> Outline:
    """The outline of a recording that has been read."""
    _, channels, height, width = recording.images.shape
    return Outline(
        len(recording.images),
        (channels, height, width),
        len(recording.units),
        count_presentations(recording),
        dict(recording.left_out),
        list(recording.warnings),
    )


def repeats(presentations: np.ndarray) -> str:
    """The range of the presentations of an image.

    Example:
        >>> repeats(np.array([3, 4])), repeats(np.array([5, 5]))
        ('3 to 4', '5')
    """
    low, high = int(presentations.min()), int(presentations.max())
    return str(low) if low == high else f"{low} to {high}"


def _look(shape: tuple[int, int, int] | None) -> str:
    if shape is None:
        return "images"
    channels, height, width = shape
    return f"{'grey' if channels == 1 else 'colour'} images of {width} x {height} px"
