"""``v4egg init FILE``: a commented configuration for a file, ready to run."""

import re
import shlex
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from v4egg.errors import V4eggError
from v4egg.recordings.outline import repeats
from v4egg.recordings.readers import READERS, describe
from v4egg.recordings.readers.description import Answer, Description, Question, Taken, in_yaml
from v4egg.registry import Options, load
from v4egg.workflow.commands.command import Command

SIDE = 48  # pixels that models see, as in the demo; the prior needs a multiple of STEP
STEP = 8
SMALLEST = 16
WIDTH = 110  # characters of a line
TEST_IMAGES = 4  # at least
CLEARLY_MORE = 1.5  # times the presentations of the next images, to be test images
_SESSION = re.compile("[A-Za-z][A-Za-z0-9_]*")
_HEAD = """\
# Written by v4egg init for {file}. config/README.md explains every key.
{found}
#
# Read the recording and say what is understood, without running anything:
#   v4egg check {output}
# Run everything; results are in results/{session}:
#   snakemake --cores all --configfile {output}
name: {session}
seed: 1
sessions:
"""
_SETTINGS = """\
images:
  size: {size}   # pixels per side that models see{images}
prior:         # the diffusion model of natural images, trained on images of the recording and on photographs
  photographs: 6000
  widths: [48, 96, 96]
  steps: 450
encoders:      # for each architecture, members that make images (generators) and members that only judge (validators)
  generators: 2
  validators: 1
  baselines: [ln]
  training: {{loss: {loss}, epochs: 14}}
targets: {{units: 24}}   # at most so many units get images, those that are predicted best
synthesis:
  methods:
    gradient_ascent: {{steps: 150}}
    energy_guided: {{}}
"""


class Init(Command):
    """Write a configuration for a file, ready to run; it asks in a comment what the file does not tell."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, the session's name, and where to write."""
        parser.add_argument("file", type=Path, metavar="FILE", help="a recording: a file or a folder")
        parser.add_argument("--session", metavar="NAME", help="name of the session; by default that of the file")
        parser.add_argument(
            "--output", type=Path, metavar="YAML", help="the configuration to write; by default standard output"
        )

    def run(self, arguments: Namespace) -> int:
        """Write the configuration of the file."""
        output = arguments.output
        if output is not None and output.exists():
            raise V4eggError(f"{output}: is there already; give another name in --output, or remove it")
        session = session_name(arguments.file, arguments.session)
        description = describe(arguments.file)
        text = configuration(description, arguments.file, session, str(output or "mine.yaml"))
        if output is None:
            print(text, end="", flush=True)
        else:
            output.write_text(text)
            print(f"{output} written; next: v4egg check {shlex.quote(str(output))}", flush=True)
        if description.refusal:
            raise V4eggError(f"{arguments.file}: {description.refusal}; the configuration has to say it")
        return 0


def session_name(file: Path, given: str | None = None) -> str:
    """The session's id: the one that is given, or the file's name in letters, digits and underscores.

    Raises:
        V4eggError: the one that is given has other characters.

    Example:
        >>> session_name(Path("data/sub-01_ses-2.nwb")), session_name(Path("20240501.nwb"))
        ('sub_01_ses_2', 's20240501')
    """
    if given is not None:
        if not _SESSION.fullmatch(given):
            raise V4eggError(f"--session {given}: give a letter and then letters, digits and underscores")
        return given
    name = re.sub(r"\W+", "_", file.absolute().stem, flags=re.ASCII).strip("_")
    return name if _SESSION.fullmatch(name) else f"s{name}"


def configuration(description: Description, file: Path, session: str, output: str = "mine.yaml") -> str:
    """The text of a configuration.

    Args:
        description: of the file.
        file: where it is.
        session: the session's id.
        output: the configuration's own name, for its comments.
    """
    outline, questions = description.outline, description.questions
    asked = f"It asks {_number(len(questions))}: look for QUESTION." if questions else ""
    stops = f"It cannot be read as it is: {description.refusal}." if description.refusal else ""
    found = "\n".join(_comment(" ".join(filter(None, [f"{outline or description.kind}.", asked, stops]))))
    head = _HEAD.format(file=file, found=found, output=shlex.quote(output), session=session)
    of_session = [question for question in questions if _nested(description, question.key) is not None]
    lines = _options(description, of_session)
    others = [question for question in questions if question not in of_session]
    images = "".join(f"\n{line}" for question in others for line in _indented(_question(question), 2))
    side = min(outline.shape[1:]) if outline and outline.shape else SIDE
    size = min(SIDE, max(SMALLEST, side // STEP * STEP))
    loss = "poisson" if description.units and description.units.rate else "mse"
    body = "\n".join([f"  {session}:", f"    format: {description.format}", *_indented(lines, 4)])
    return f"{head}{body}\n{_SETTINGS.format(size=size, images=images, loss=loss)}"


def _number(questions: int) -> str:
    return "one question" if questions == 1 else f"{questions} questions"


def _split(description: Description) -> list[str]:
    """The test images: those that were shown clearly more often than the others, or the second half."""
    if description.outline is None:
        text = "Test images: halves is the second half of the images; repeated, with min_repeats, those shown so often."
        return [*_comment(text), "split: halves"]
    presentations = description.outline.presentations
    least = least_test_repeats(presentations)
    if least is None:
        text = f"Test images: the second half of the images (each was shown {repeats(presentations)} times)."
        return [*_comment(text), "split: halves"]
    text = f"Test images: the {(presentations >= least).sum()} images that were shown {least} times or more."
    return [*_comment(text), "split: repeated", f"min_repeats: {least}"]


def least_test_repeats(presentations: np.ndarray) -> int | None:
    """Presentations that make an image a test image, where some images were shown clearly more often than the others.

    Args:
        presentations: int (image,), how often each image was shown.

    Returns:
        The number; None where that gives fewer than four test images, or more than half of all.

    Example:
        >>> least_test_repeats(np.array([1, 2, 2, 3, *[20] * 4])), least_test_repeats(np.array([5, 5, 6, 6]))
        (20, None)
    """
    counts = np.unique(presentations)
    enough = [c for c in counts[1:] if TEST_IMAGES <= (presentations >= c).sum() <= len(presentations) / 2]
    ratio = {int(c): c / counts[counts < c].max() for c in enough}
    best = max(ratio, key=lambda count: ratio[count], default=None)
    return best if best is not None and ratio[best] >= CLEARLY_MORE else None


def _options(description: Description, questions: Sequence[Question]) -> list[str]:
    """Keys of the session: what is taken, what is asked, and what may be said."""
    groups: dict[str, list[str]] = {"": [f"{key}: {in_yaml(value)}" for key, value in description.options.items()]}
    for part, lines in [
        *((taken.key, _key(taken)) for taken in description.taken),
        *((question.key, _question(question)) for question in questions),
        *((taken.key, _suggestion(taken)) for taken in description.suggested),
    ]:
        group = _nested(description, part)
        if group is not None:
            groups.setdefault(group, []).extend(lines)
    found = [*groups.pop(""), *_split(description)]
    for group, lines in groups.items():
        only_comments = all(line.startswith("#") for line in lines)
        first = _one_key(description, group) if only_comments else []
        found += [f"{group}:", *_indented([*first, *lines], 2)]
    return found


def _one_key(description: Description, group: str) -> list[str]:
    """A key of a mapping with its default: a mapping of comments alone would be null."""
    fields = load(READERS[description.format].target).model_fields[group].annotation.model_fields
    name = next(name for name, field in fields.items() if field.default is not None)
    return [f"{name}: {in_yaml(fields[name].default)}"]


def _nested(description: Description, key: str) -> str | None:
    """The mapping of the reader's options that holds a key; empty: none does; None: it is no key of the reader."""
    fields = load(READERS[description.format].target).model_fields
    first, _, rest = key.partition(".")
    if first not in fields:
        return None
    kind = fields[first].annotation
    holds = isinstance(kind, type) and issubclass(kind, Options)
    return first if rest and holds else None if rest else ""


def _key(taken: Taken) -> list[str]:
    line = f"{_last(taken.key)}: {in_yaml(taken.value)}"
    if not taken.certain:
        return [*_comment(f"{taken.why}:"), f"# {line}"]
    short = f"{line}   # {taken.why}"
    return [short] if len(short) <= WIDTH else [*_comment(taken.why), line]


def _suggestion(taken: Taken) -> list[str]:
    return [*_comment(f"Optional: {taken.why}"), f"# {_last(taken.key)}: {in_yaml(taken.value)}"]


def _question(question: Question) -> list[str]:
    asks = f"QUESTION: {question.text}. Take away the # before the line that is right:"
    return [*_comment(asks), *(f"# {_last(question.key)}: {_answer(answer)}" for answer in question.answers)]


def _answer(answer: Answer) -> str:
    return f"{in_yaml(answer.value)}   # {answer.why}" if answer.why else in_yaml(answer.value)


def _last(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def _comment(text: str) -> list[str]:
    text = text[:1].upper() + text[1:]
    return textwrap.wrap(text, WIDTH - 6, initial_indent="# ", subsequent_indent="# ")


def _indented(lines: Sequence[str], by: int) -> Iterator[str]:
    return (" " * by + line for line in lines)
