"""What a reader decides while it understands a file, and the questions that the file leaves open."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v4egg.errors import V4eggError
from v4egg.images.pixels import UnknownRange
from v4egg.recordings.readers.description import Answer, Description, Question, Taken


class OpenQuestion(V4eggError):
    """A refusal that a key of the configuration lifts: reading raises it, describing collects its question."""

    def __init__(self, path: Path, key: str, text: str, answers: Iterable[Answer]):
        self.question = Question(key, text, tuple(answers))
        super().__init__(str(self.question.error(str(path))))


@contextmanager
def refusals_described(result: Description, path: Path) -> Iterator[None]:
    """Add to a description why what runs inside refuses a file: as a question if a key lifts that, else in its words.

    Args:
        result: the description, which gets ``questions`` or ``refusal``.
        path: the file, which begins the words of a refusal.

    Example:
        >>> result = Description("nwb", "a file")
        >>> with refusals_described(result, Path("s1.nwb")):
        ...     raise V4eggError("s1.nwb: no table of presentations; name one in columns.table")
        >>> result.refusal
        'no table of presentations; name one in columns.table'
    """
    try:
        yield
    except OpenQuestion as error:
        result.questions = [error.question]
    except UnknownRange as error:
        answers = [Answer(list(values), why) for values, why in error.likely()]
        result.questions = [Question("columns.pixel_range", error.fact, answers)]
    except V4eggError as error:
        result.refusal = str(error).removeprefix(f"{path}: ")


@dataclass
class Notes:
    """What is decided while a file is understood, for its description, for the log and for the recording.

    Attributes:
        taken: what is taken as what, and why.
        warnings: what a user should look at, one line each.
        left_out: reason -> number of presentations that are left out.
    """

    taken: list[Taken] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def take(self, key: str, value: Any, why: str, certain: bool = True) -> None:
        """Note what is taken for a key; see :class:`v4egg.recordings.readers.description.Taken`."""
        self.taken.append(Taken(key, value, why, certain))

    def leave_out(self, reason: str, presentations: int) -> None:
        """Count presentations that are left out."""
        if presentations:
            self.left_out[reason] = self.left_out.get(reason, 0) + presentations


def listed(names: Iterable[object], most: int = 20) -> str:
    """Names in one line, ``none`` where there are none.

    Example:
        >>> listed(range(5), most=3)
        '0, 1, 2 and 2 more'
    """
    texts = [str(name) for name in names]
    rest = f" and {len(texts) - most} more" if len(texts) > most else ""
    return (", ".join(texts[:most]) or "none") + rest
