"""``v4egg check CONFIGURATION``: is it valid, and what is read of every recording that it names."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from v4egg.errors import V4eggError
from v4egg.recordings.outline import outline_of
from v4egg.recordings.readers import outline_recording, read_recording
from v4egg.recordings.recording import Recording
from v4egg.recordings.responses import count_spikes, make_responses
from v4egg.recordings.sources import source_of
from v4egg.recordings.splits import Pictures, images_that_test, make_splits, pictures_of, split_of
from v4egg.workflow.commands.command import Command
from v4egg.workflow.configuration import check as checked
from v4egg.workflow.configuration_errors import ConfigurationError
from v4egg.workflow.configuration_files import read_configuration, schema_file


class Check(Command):
    """Check a configuration and read every recording that it names; nothing is trained or written."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The files of the configuration."""
        parser.add_argument(
            "files", type=Path, nargs="+", metavar="YAML", help="as after snakemake --configfile: one laid over another"
        )
        parser.add_argument(
            "--full", action="store_true", help="read all pixels and spikes, count them, split images, select units"
        )

    def run(self, arguments: Namespace) -> int:
        """Print a line for each session and for each mistake."""
        try:
            config = checked(read_configuration(arguments.files), schema_file())
        except ConfigurationError as error:
            return _told(error.lines)
        found = Findings(config)
        for session, entry in config["sessions"].items():
            with found.collected(session):
                _read(found, session, entry, arguments.full)
        if arguments.full and not found.mistakes:
            with found.collected(""):
                _select(found)
        for line in found.lines.values():
            print(line)
        return _told(found.mistakes)


@dataclass
class Findings:
    """What is found in the recordings of a configuration.

    Attributes:
        config: the configuration, valid and with defaults.
        lines: session -> what is printed of it.
        mistakes: one line each.
        pictures: of the sessions that were read in full.
        counted: session -> its recording with counts in place of spikes, and without pixels.
    """

    config: Mapping[str, Any]
    lines: dict[str, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    pictures: list[Pictures] = field(default_factory=list)
    counted: dict[str, Recording] = field(default_factory=dict)

    @contextmanager
    def collected(self, session: str) -> Iterator[None]:
        """Keep a mistake of the session, and go on with the next one."""
        try:
            yield
        except V4eggError as error:
            text = str(error)
            named = not session or f"sessions.{session}" in text or f"session {session}" in text
            self.mistakes.append(text if named else f"sessions.{session}: {text}")


def _read(found: Findings, session: str, entry: Mapping[str, Any], full: bool) -> None:
    """Read one session; its line says what was understood."""
    config = found.config
    folder = os.environ.get("V4EGG_DATA", config["data"])
    source = source_of(session, entry, f"{folder}/V4_compact_models", f"results/{config['name']}")
    source.check("V4EGG_DATA" in os.environ)
    if entry["format"] == "simulated":
        found.lines[session] = f"{session}: the workflow simulates it"
        return
    if source.missing():
        found.lines[session] = f"{session}: the workflow downloads {len(source.missing())} files into {folder}"
        return
    looks = {key: config["images"][key] for key in ("aspect", "background")}
    if full:
        recording = read_recording(session, entry, source.path, **looks)
        window = tuple(config["responses"]["window"])
        outline, pictures = outline_of(recording), pictures_of(recording, window)
        found.pictures.append(pictures)
        found.counted[session] = _counted(recording, config)
    else:
        outline = outline_recording(session, entry, source.path, **looks)
        numbered = [str(number) for number in range(outline.images)]
        pictures = Pictures(session, numbered, np.empty((outline.images, 0), "float32"), outline.presentations)
    test = images_that_test(pictures, config["sessions"]).sum()
    said = f"; {outline.images - test} images to fit, {test} to test"
    warnings = [f"  warning: {text.removeprefix(f'{Path(source.path).name}: ')}" for text in outline.warnings]
    found.lines[session] = "\n".join([f"{session}: {outline}{said}", *warnings])


def _counted(recording: Recording, config: Mapping[str, Any]) -> Recording:
    """The recording with counts in place of spikes, and without pixels: all that selection needs."""
    counts = recording.counts
    if counts is None:
        counts = count_spikes(recording, tuple(config["responses"]["window"]))
    pixels = np.zeros((len(recording.images), 1, 1, 1), "uint8")
    return replace(recording, images=pixels, trials=None, spikes=None, recorded=None, counts=counts)


def _select(found: Findings) -> None:
    """Split the images of all sessions, and select the units of each, as the workflow does."""
    config = found.config
    responses = config["responses"]
    if len(found.pictures) < len(config["sessions"]):  # splits are of all sessions together
        return
    options = {key: responses[key] for key in ("validation_fraction", "near_duplicate")}
    options["channels"] = config["images"]["channels"]
    splits = make_splits(found.pictures, config["sessions"], seed=config["seed"], **options)
    for session, recording in found.counted.items():
        with found.collected(session):
            split = split_of(splits, session)
            made = make_responses(recording, split, selection=responses["selection"], seed=config["seed"])
            near = (split == "excluded").sum()
            said = f"; {near} images look like test images and are left out" if near else ""
            chosen = f"  {made.selected.sum()} of {len(made.selected)} units pass the selection{said}"
            found.lines[session] += f"\n{chosen}"


def _told(mistakes: list[str]) -> int:
    """Print mistakes, a line each; the exit code."""
    sys.stdout.flush()
    for line in mistakes:
        print(f"error: {line}", file=sys.stderr)
    return 1 if mistakes else 0
