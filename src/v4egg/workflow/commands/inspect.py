"""``v4egg inspect FILE``: what is in a file, and what would be taken as what."""

import json
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from v4egg.recordings.readers import describe
from v4egg.recordings.readers.description import Answer, Column, Description, ImageSet, Table, UnitFacts, in_yaml
from v4egg.workflow.commands.command import Command

WIDTH = 100  # characters of a line


class Inspect(Command):
    """Show what is in a file, what would be taken as what and why, what it does not tell, and warnings."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and the form of the output."""
        parser.add_argument("file", type=Path, metavar="FILE", help="a recording: a file or a folder")
        parser.add_argument("--json", action="store_true", help="as JSON, for programs")

    def run(self, arguments: Namespace) -> int:
        """Print the description of the file."""
        description = describe(arguments.file)
        if arguments.json:
            print(json.dumps({"file": str(arguments.file), **asdict(description)}, indent=2, default=_plain))
        else:
            print("\n".join([f"{arguments.file}: {description.kind}", *report(description)]))
        return 0


def report(description: Description) -> Iterator[str]:
    """The lines of a description, section by section.

    Example:
        >>> print("\\n".join(report(Description("nwb", "NWB", units=UnitFacts(2, rate=(0.5, 1, 12))))))
        <BLANKLINE>
        Units
          2 units, 0.5 to 12 spikes/s (median 1)
    """
    sections = {
        "Tables": [line for table in description.tables for line in _table(table)],
        "Images": [line for images in description.image_sets for line in _images(images)],
        "Units": list(_units(description.units)) if description.units else [],
        "Times in seconds": list(_spans(description)),
        "What is taken as what": list(_taken(description)),
        "What would be read": _wrapped(str(description.outline)) if description.outline else [],
        "What stands in the way": _wrapped(description.refusal),
        "What the file does not tell (v4egg init asks for it in the configuration)": list(_questions(description)),
        "Warnings": [line for text in description.warnings for line in _wrapped(text, "- ")],
    }
    for title, lines in sections.items():
        if lines:
            yield from ["", title, *(f"  {line}" for line in lines)]


def _table(table: Table) -> Iterator[str]:
    yield f"{table.name}: {table.rows} rows"
    wide = [max((len(text) for text in texts), default=0) for texts in zip(*map(_cells, table.columns), strict=True)]
    for column in table.columns:
        cells = _cells(column)
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, wide, strict=True)).rstrip()
        yield f"  {textwrap.shorten(line, WIDTH - 4, placeholder=' ...') if len(line) > WIDTH - 4 else line}"


def _cells(column: Column) -> list[str]:
    return [column.name, column.kind, _listed(column.examples), column.note]


def _listed(examples: Any) -> str:
    return ", ".join(examples) + (" ..." if examples else "")


def _images(images: ImageSet) -> Iterator[str]:
    size = " x ".join(map(str, images.shape)) if images.shape else "different sizes"
    yield f"{images.name} ({images.kind}): {images.images} of {size}, {images.dtype}".rstrip(", ")
    if images.low is not None and images.high is not None:
        looked = "all" if images.sampled >= images.images else f"{images.sampled} of them"
        yield f"  values from {images.low:g} to {images.high:g} ({looked} looked at)"
    if images.examples:
        yield f"  names {_listed(images.examples)}"
    if images.note:
        yield from _wrapped(images.note, "  ")


def _units(units: UnitFacts) -> Iterator[str]:
    rate = ""
    if units.rate:
        low, median, high = units.rate
        rate = f", {low:.3g} to {high:.3g} spikes/s (median {median:.3g})"
    yield f"{units.units} units{rate}"
    for column, values in units.groups.items():
        yield f"{column}: " + ", ".join(f"{value} {number}" for value, number in values.items())
    if units.note:
        yield from _wrapped(units.note)


def _spans(description: Description) -> Iterator[str]:
    wide = max((len(span.what) for span in description.spans), default=0)
    for span in description.spans:
        yield f"{span.what:<{wide}}  {span.start:10.3f} to {span.stop:10.3f}  {span.note}".rstrip()


def _taken(description: Description) -> Iterator[str]:
    for taken in description.taken:
        line = f"{taken.key}: {in_yaml(taken.value)}"
        if len(line) + len(taken.why) + 5 <= WIDTH:
            yield f"{line} ({taken.why})"
        else:
            yield from [line, *_wrapped(taken.why, "    ")]


def _questions(description: Description) -> Iterator[str]:
    for question in description.questions:
        yield from _wrapped(f"{question.key}: {question.text}")
        yield from (f"    {_answer(answer)}" for answer in question.answers)


def _answer(answer: Answer) -> str:
    return f"{in_yaml(answer.value)} ({answer.why})" if answer.why else in_yaml(answer.value)


def _wrapped(text: str, start: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH - 2, initial_indent=start, subsequent_indent=" " * len(start))


def _plain(value: Any) -> Any:
    """What JSON has for a value of numpy, or its text."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
