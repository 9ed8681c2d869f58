"""Configuration of XDream's experiment on black-box neurons."""

from typing import Annotated, Any, Literal

from pydantic import Field

from v4egg.registry import Options, OptionsOf
from v4egg.xdream.search import SearchOptions


class Condition(SearchOptions):
    """One condition of the experiment."""

    neurons: Literal["external", "encoder", "hidden"] = Field(
        "external",
        description="external: units as their external judge predicts them, without any encoder; encoder: target units "
        "as the generators of an architecture predict them; hidden: units inside a generator of it.",
    )
    units: int = Field(24, ge=1, description="At most so many external or encoder neurons; drawn.")
    arch: str = Field("", description="Architecture of encoder and hidden neurons; empty: the first.")
    layers: int = Field(3, ge=1, description="Depths of hidden neurons.")
    channels: int = Field(8, ge=1, description="Hidden neurons of each depth.")
    budget: int = Field(10000, ge=1, description="Presentations for each neuron; repeats count.")
    spikes: float | None = Field(
        None,
        gt=0,
        description="Expected spikes at the best natural image. Scores are Poisson counts, of responses raised until "
        "no natural one is below 0; null: no noise.",
    )
    repeats: int = Field(1, ge=1, description="Presentations that are averaged to the score of an image.")
    initial: Literal["random", "natural"] = Field(
        "random",
        description="First codes: random, or of the natural images that excite the neuron most.",
    )
    sweep: Annotated[dict[str, Any], OptionsOf("optimizer", swept=True)] = Field(
        default_factory=dict,
        description="Settings of the optimizer that are also tried at other values, one at a time, such as "
        "{population: [10, 40], mutation_rate: [0.25, 0.75]}; a figure of their own.",
    )


class Evolution(Options):
    """XDream's experiment on black-box neurons, one figure for all conditions."""

    conditions: dict[str, Condition] = Field(
        default_factory=dict,
        description="What is compared, by name; empty: no experiment.",
        json_schema_extra={"default": {}, "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_]*$"}},
    )
