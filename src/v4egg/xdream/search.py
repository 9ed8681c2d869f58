"""What a search by evolution is configured with: an image generator, and an optimizer with its settings."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from v4egg.registry import Choice, NameIn, Options, OptionsOf, options_of
from v4egg.xdream.optimizers import OPTIMIZERS

_IMAGE_GENERATOR = Choice("v4egg.xdream.generators:IMAGE_GENERATORS", "image generator", default="decoder")


class SearchOptions(Options):
    """Where codes become images, and how codes follow from scores."""

    image_generator: Annotated[dict[str, Any], _IMAGE_GENERATOR] = Field(
        default_factory=lambda: {"name": "decoder"}, description="The image generator: what turns codes into images."
    )
    optimizer: Annotated[str, NameIn("v4egg.xdream.optimizers:OPTIMIZERS")] = Field(
        "genetic", description="How codes follow from scores."
    )
    settings: Annotated[dict[str, Any], OptionsOf("optimizer")] = Field(
        default_factory=dict,
        description="Options of the optimizer, such as population; those that are not given have their defaults.",
    )

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        options_of(OPTIMIZERS, self.optimizer, self.settings, "optimizer")
        return self
