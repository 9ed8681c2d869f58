"""Configuration of compact models and of what is done with them."""

from typing import Literal

from pydantic import Field

from v4egg.registry import Integers, Numbers, Options, Strings


class Distillation(Options):
    """Training before pruning."""

    epochs: int = Field(2, ge=1, description="Passes over all views.")
    learning_rate: float = Field(0.003, gt=0, description="Peak of Adam's schedule.")


class Retraining(Options):
    """Training after pruning."""

    epochs: int = Field(1, ge=1, description="Passes over all views after pruning.")
    learning_rate: float = Field(0.0015, gt=0, description="Peak of Adam's schedule after pruning.")


class Compact(Options):
    """Compact models. One small network per unit, distilled from an ensemble, pruned and trained again."""

    teacher: str = Field(
        "",
        description="The architecture, or combined architecture, that students learn from; empty: no compact models.",
    )
    role: Literal["all", "generator"] = Field(
        "all", description="Which of its members teach. With generator the validators stay independent judges."
    )
    sessions: Strings = Field(
        (),
        description="Sessions whose units get students; empty: those of targets that have a test split.",
        json_schema_extra={"uniqueItems": True},
    )
    photographs: int = Field(
        0,
        ge=0,
        description="Crops of the photographs of scikit-image and scikit-learn among the pictures, beside the "
        "sessions' fit images.",
    )
    picture_size: int = Field(112, ge=8, description="Pixels per side at which the teacher is shown views of pictures.")
    size: int = Field(56, ge=8, multiple_of=4, description="Pixels per side of the students' images; 112 as published.")
    views: int = Field(
        3, ge=1, description="Views of each picture that students learn from: the picture itself, and crops of it."
    )
    scale: float = Field(0.7, gt=0, le=1, description="Smallest side of a crop, as a share of the picture's.")
    contrast: float = Field(0.6, gt=0, le=1, description="Smallest gain of a view's contrast.")
    mirror: bool = Field(True, description="Half of the views are mirrored.")
    pruning: float = Field(0.08, gt=0, le=0.4, description="Share of the pictures that pruning judges filters by.")
    test: float = Field(0.08, gt=0, le=0.4, description="Share of the pictures that students are tested on.")
    widths: Integers = Field(
        (24, 24, 24, 24, 24),
        min_length=5,
        max_length=5,
        description="Filters of a student's five layers before pruning; 100 each as published.",
        json_schema_extra={"items": {"type": "integer", "minimum": 3}},
    )
    batch_size: int = Field(32, ge=1, description="Images per step.")
    sample: float = Field(
        0.5, gt=0, le=1, description="Share of a batch that the gradient of depthwise kernels is estimated from."
    )
    smoothing: int = Field(0, ge=0, description="Steps between two smoothings of kernels and readouts; 0: none.")
    distillation: Distillation = Distillation()
    retraining: Retraining = Retraining()
    keep_r2: float = Field(
        0.9, le=1, description="Share of the squared correlation with the teacher that pruning layer 4 leaves."
    )
    keep_output: float = Field(
        0.9, le=1, description="Share of the next layer's output that pruning the other layers leaves."
    )
    shared: Integers = Field(
        (),
        description="Also one model of all units of a session whose first three layers have so many filters, for each"
        " number here.",
        json_schema_extra={"items": {"type": "integer", "minimum": 1}, "uniqueItems": True},
    )
    units_at_once: int = Field(
        2,
        ge=1,
        description="Units that are trained side by side; more than two leave the cache of a processor at 56 px, 24 "
        "filters and 32 images.",
    )
    jobs: int = Field(4, ge=1, description="Jobs that share the units of a session.")


class Circuits(Options):
    """What compact models have in common and are tuned to, and the search for a dot detector."""

    models: tuple[Literal["published", "students"], ...] = Field(
        (),
        description="Which compact models, of the sessions with targets: the published ones, those that "
        "compact.teacher makes; empty: no circuits.",
        json_schema_extra={"uniqueItems": True},
    )
    places: int = Field(
        5, ge=1, description="Places per side at which dots and contours are shown, over the middle of the image."
    )
    samples: int = Field(2, ge=1, description="Noises of each texture.")
    images: int = Field(16, ge=1, description="Test images over which the outputs of filters are compared.")
    draws: int = Field(20, ge=1, description="Random sets of filters that each ablation is held against.")


class Maximizing(Options):
    """Images that maximize the response of compact models."""

    steps: int = Field(300, ge=1, description="Gradient steps of a maximizing image (published 1000).")
    samples: int = Field(1, ge=1, description="Maximizing images per unit.")


class Adversarial(Options):
    """Natural images changed so that compact models respond more or less, and maximizing images, under other models."""

    models: tuple[Literal["published", "students"], ...] = Field(
        (),
        description="Which compact models make them, as under circuits; empty: no adversarial images.",
        json_schema_extra={"uniqueItems": True},
    )
    epsilons: Numbers = Field(
        (0.01, 0.03),
        min_length=1,
        description="Largest root mean square of a change, in [0, 1] units, ascending.",
        json_schema_extra={"items": {"type": "number", "exclusiveMinimum": 0}, "uniqueItems": True},
    )
    images: int = Field(3, ge=1, description="Test images per unit that are changed.")
    steps: int = Field(10, ge=1, description="Gradient steps of a change.")
    draws: int = Field(
        5,
        ge=1,
        description="Random changes of each kind: white noise, and the adversarial change's own spectrum at other "
        "phases.",
    )
    reference: int = Field(
        100, ge=2, description="Test images over which the sd of a judge's responses is taken, at most."
    )
    architectures: Strings | None = Field(
        None, description="The architectures that judge; null: all.", json_schema_extra={"uniqueItems": True}
    )
    maximizing: Maximizing = Maximizing()
