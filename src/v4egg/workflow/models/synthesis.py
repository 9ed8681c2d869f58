"""Configuration of images made from encoders, and of what they are compared with."""

from typing import Literal

from pydantic import Field

from v4egg.registry import Numbers, Options, Strings


class ClosedLoop(Options):
    """Images made, shown to the simulated brain, learned from, and made again."""

    rounds: int = Field(
        0,
        ge=0,
        description="Times that images are shown to the simulated brain and learned from, for each simulated session "
        "with targets; 0: no closed loop.",
    )
    architecture: str = Field(
        "", description="Whose generators; empty: the first architecture without a frozen network."
    )
    method: str = Field("energy_guided", description="The method under synthesis.methods that makes the images.")
    units: int = Field(12, ge=1, description="At most so many target units.")
    samples: int = Field(2, ge=1, description="Images per unit and round.")
    repeats: int = Field(5, ge=1, description="Presentations of each image.")
    oversample: int = Field(4, ge=1, description="Times that an epoch passes a new image.")
    epochs: int = Field(3, ge=1, description="Passes of each training.")
    learning_rate: float = Field(0.001, gt=0, description="Peak of each training's one-cycle schedule.")


class Natural(Options):
    """Natural search. The images of the pool that the generators rate highest."""

    k: int = Field(0, ge=0, description="Images kept for each unit; 0: no search.")
    folder: str = Field(
        "",
        description="A folder of image files that is searched too, with all folders below it.",
    )
    pixel_range: Numbers | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="Pixel values of these files that are black and white; null: as their dtype and values say.",
    )
    batch_size: int = Field(32, ge=1, description="Images in memory at once.")


class Reconstruction(Options):
    """Test images reconstructed from predicted and recorded responses."""

    images: int = Field(0, ge=0, description="Test images of each target session; 0: no reconstruction.")
    architectures: Strings = Field(
        (),
        description="The architectures whose generators make them; empty: all.",
        json_schema_extra={"uniqueItems": True},
    )
    energy_scale: float = Field(2.0, ge=0, description="lambda for predicted responses.")
    energy_scale_recorded: float = Field(1.0, ge=0, description="lambda for recorded responses.")
    steps: int = Field(100, ge=1, description="Denoising steps (published 1000).")
    sampler: Literal["ancestral", "ddim", "dpm_solver"] = Field(
        "ancestral", description="Sampler of the denoising steps."
    )
    guidance: Literal["full", "straight_through"] = Field("full", description="As for energy-guided MEIs.")
    own_norm: bool = Field(True, description="Whether reconstructions have the L2 norm of their image; both methods.")
    descent_steps: int = Field(
        1000,
        ge=1,
        description="Gradient descent ends here if it has not reached the error of energy-guided diffusion (published"
        " 5000).",
    )
    learning_rate: float = Field(0.05, gt=0, description="AdamW step of gradient descent.")
    blur: float = Field(
        1.0, ge=0, description="Gaussian through which gradient descent sees its pixels; sigma in pixels."
    )


class Samples(Options):
    """Unguided samples of the prior beside crops of the pool."""

    n: int = Field(0, ge=0, description="Samples; 0: none.")
    steps: int = Field(50, ge=1, description="Denoising steps.")


class Gallery(Options):
    """The figure of images."""

    units: int = Field(12, ge=1, description="Units in the gallery figure.")
