"""Figures: drawn from the tables of :mod:`v4egg.evaluation.tables` and from images. Nothing is computed here.

Adding a figure is one file here and one line in :data:`FIGURES`. The file is a module with two functions:

- ``table``, imported from the module of :mod:`v4egg.evaluation.tables` (or :mod:`v4egg.compact`) that computes the
  numbers: takes the figure's inputs as keyword arguments and returns a tidy data frame, the figure's CSV file.
- ``draw``, which takes that table and, as keyword arguments, those inputs that hold images, and returns a matplotlib
  figure.

This module imports neither matplotlib nor torch, since the workflow reads it while it plans a run.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

_FIELD = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class Figure:
    """What the workflow must know of a figure without importing its module.

    Attributes:
        target: The module that has ``table`` and ``draw``.
        inputs: Argument of ``table`` -> the store it reads, below ``results/<name>/``. A name in braces stands for a
            list of the workflow (``{method}``, ``{source}``, ...); such an argument is the list of all such stores.
        images: The inputs that ``draw`` takes too.
        when: What switches the figure on: a key of the configuration (``"samples.n"``), which must be set, or a list of
            the workflow in braces (``"{loop}"``), which must not be empty. Empty: the figure is always drawn.
        options: A section of the configuration whose entries are further arguments of ``table``.
        summarised: Whether ``summary.json`` repeats the table's statistics under ``stages``.
    """

    target: str
    inputs: Mapping[str, str]
    images: Sequence[str] = field(default=())
    when: str = ""
    options: str = ""
    summarised: bool = False

    def is_on(self, config: Mapping[str, Any], lists: Mapping[str, Sequence[str]]) -> bool:
        """Whether a configuration asks for the figure; ``lists`` are those of the workflow by name."""
        if name := _FIELD.fullmatch(self.when):
            return bool(lists[name[1]])
        section, _, key = self.when.partition(".")
        return not self.when or bool(config[section][key])

    def paths(self, root: str, lists: Mapping[str, Sequence[str]]) -> dict[str, str | list[str]]:
        """Argument -> path of its store below ``root``, or list of paths in the order of the workflow's lists."""
        return {name: _expanded(f"{root}/{pattern}", lists) for name, pattern in self.inputs.items()}

    def load(self) -> ModuleType:
        """The module that has ``table`` and ``draw``."""
        return import_module(self.target)


def _expanded(pattern: str, lists: Mapping[str, Sequence[str]]) -> str | list[str]:
    names = list(dict.fromkeys(_FIELD.findall(pattern)))
    if not names:
        return pattern
    return [
        pattern.format(**dict(zip(names, values, strict=True)))
        for values in itertools.product(*(lists[name] for name in names))
    ]


_TRANSFER, _MEIS = {"transfer": "transfer.zarr"}, {"meis": "mei/{method}/{source}.zarr"}
_SCORES = {"scores": "encoders/scores.zarr"}
_MENI = {
    "meni": "meni/{meni}.zarr",
    "natural": "natural/{natural}.zarr",
    "ascent": "mei/gradient_ascent/{source}.zarr",
    "judged_meni": "judged/meni.zarr",
    "judged_natural": "judged/natural.zarr",
}
_RECONSTRUCTION = {"reconstruction": "reconstruction/{reconstruction}.zarr", "scores": "judged/reconstruction.zarr"}
_COMPACT = {"compact": "compact/{compact}.zarr", "shared": "compact_shared/{compact_shared}.zarr"}
_ADVERSARIAL = {"adversarial": "adversarial/{adversarial}.zarr", "transfer": "transfer_maximizing/{adversarial}.zarr"}

FIGURES: dict[str, Figure] = {
    "encoder_scores": Figure("v4egg.figures.encoder_scores", _SCORES),
    "mei_gallery": Figure("v4egg.figures.mei_gallery", _TRANSFER | _MEIS, ("transfer", "meis"), options="gallery"),
    "transfer_scatter": Figure("v4egg.figures.transfer_scatter", _TRANSFER),
    "compute_time": Figure("v4egg.figures.compute_time", _MEIS | _TRANSFER),
    "samples": Figure("v4egg.figures.samples", {"samples": "samples.zarr"}, ("samples",), "samples.n", "", True),
    "meni": Figure(
        "v4egg.figures.meni", _MENI | _TRANSFER, ("meni", "natural", "ascent"), "meni.energy_scales", "", True
    ),
    "reconstruction": Figure(
        "v4egg.figures.reconstruction", _RECONSTRUCTION, ("reconstruction",), "reconstruction.images", "", True
    ),
    "diverse": Figure(
        "v4egg.figures.diverse",
        {"diverse": "diverse/{diverse}.zarr", "judged": "judged/diverse.zarr"},
        ("diverse",),
        "diverse.weights",
        summarised=True,
    ),
    "compact": Figure("v4egg.figures.compact", _COMPACT | _SCORES, when="compact.teacher"),
    "circuits": Figure("v4egg.figures.circuits", {"circuits": "circuits/{circuits}.zarr"}, when="circuits.models"),
    "adversarial": Figure("v4egg.figures.adversarial", _ADVERSARIAL, ("adversarial",), "adversarial.models"),
    "tuning": Figure("v4egg.figures.tuning", {"tuning": "tuning/{circuits}.zarr"}, when="circuits.models"),
    "dot_detector": Figure(
        "v4egg.figures.dot_detector",
        {"detectors": "dot_detector/{circuits_source}.zarr"},
        ("detectors",),
        "circuits.models",
    ),
    "closed_loop": Figure(
        "v4egg.figures.closed_loop", {"loops": "closed_loop/{loop}.zarr"}, when="{loop}", summarised=True
    ),
    "evolution": Figure(
        "v4egg.figures.evolution", {"conditions": "evolution/{condition}.zarr"}, when="{condition}", summarised=True
    ),
    "sensitivity": Figure(
        "v4egg.figures.sensitivity", {"conditions": "evolution/{compared_condition}.zarr"}, when="{compared_condition}"
    ),
}
