"""Configuration of encoders and of the units that get images."""

from typing import Literal

from pydantic import Field

from v4egg.registry import Options, Strings


class Training(Options):
    """How encoders are trained."""

    loss: Literal["mse", "poisson"] = Field("mse", description="mse on z-scored responses, poisson on counts.")
    epochs: int = Field(25, ge=1, description="Passes over all sessions.")
    batch_size: int = Field(64, ge=2, description="Images per step, from one session.")
    learning_rate: float = Field(0.003, gt=0, description="Peak of the one-cycle schedule.")
    weight_decay: float = Field(0.05, ge=0, description="AdamW weight decay.")
    shift: int = Field(2, ge=0, description="Augmentation. Largest random shift in pixels.")
    noise: float = Field(0.1, ge=0, description="Augmentation. Pixel noise, in sd of the pixels.")
    adversarial: float = Field(
        0,
        ge=0,
        description="L2 norm of the change against the encoder that each image is trained with (z-scored, such as 3 "
        "at 56 px), about doubling the time; what fools the encoder then fools it less; not with a frozen"
        " network; 0: none.",
    )
    views: int = Field(
        1,
        ge=1,
        description="Augmentation on frozen features, which are computed once: of the image and of views - 1 shifted "
        "copies.",
    )
    ema_decay: float = Field(
        0,
        ge=0,
        lt=1,
        description="Decay per step of averaged weights, which are those validated and kept; 0: the weights "
        "themselves.",
    )
    patience: int = Field(
        0, ge=0, description="Epochs without a better validation after which training stops; 0: never."
    )


class Targets(Options):
    """Which units get images."""

    sessions: Strings = Field((), description="Sessions whose units get images; empty: all with a test split.")
    units: int = Field(24, ge=1, description="At most so many units; those that the validators predict best.")
    min_correlation: float = Field(
        0.3, description="Validation correlation that every architecture's validators must reach."
    )
