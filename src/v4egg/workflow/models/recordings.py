"""Configuration of images, responses, prior and decoder: what comes before the encoders."""

from typing import Literal

from pydantic import Field

from v4egg.registry import Integers, Numbers, Options


class Images(Options):
    """The images of recordings, prior and encoders."""

    size: int = Field(56, ge=8, description="Pixels per side of prior and encoders.")
    channels: Literal[1, 3] | None = Field(
        None,
        description="1: grey, 3: RGB; null: grey if the images of every session are grey, RGB otherwise.",
    )
    aspect: Literal["crop", "pad"] | None = Field(
        None,
        description="Images of sessions and folders that are not square. crop: the central square; pad: with bars of "
        "the background; null: they are refused.",
    )
    background: float = Field(
        0.5, ge=0, le=1, description="Grey level behind transparent images and of bars; 0 is black, 1 is white."
    )


class Selection(Options):
    """Which units are used."""

    min_reliability: float = Field(0.3, description="Split-half reliability on fit images (where there are repeats).")
    min_signal_to_noise: float = Field(
        0.0, description="SNR on fit images (where there are repeats); 0.15 is suggested for r2_ER."
    )
    min_mean_count: float = Field(
        0.05, description="Mean spikes per window over fit images (where responses are counts of spikes)."
    )
    min_recorded: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Share of the fit images to which the unit has a response; with nearly all of them, all units are "
        "fitted to and scored on the same images.",
    )


class Responses(Options):
    """From spikes to responses."""

    window: Numbers = Field(
        (0.07, 0.17), min_length=2, max_length=2, description="Seconds after onset in which spikes are counted."
    )
    validation_fraction: float = Field(0.1, gt=0, le=0.5, description="Share of the fit images that validates.")
    near_duplicate: float = Field(
        0.99, gt=0, le=1, description="Cosine of two thumbnails above which two images are the same picture."
    )
    selection: Selection = Selection()


class Pretrained(Options):
    """A prior trained elsewhere, instead of one trained on the pool."""

    weights: str = Field(
        "",
        description="File of OpenAI ADM weights (.pt, .pth, .safetensors), or folder or hub id of an unconditional "
        "diffusers pipeline over pixels or latents; empty: train one.",
    )
    revision: str = Field(
        "", description="Commit or tag of a model on the Hugging Face hub; empty: the newest, which may change."
    )
    image_size: int | None = Field(
        None,
        ge=8,
        description="Pixels per side of the images; null: 256 for ADM weights, what a folder or the hub states.",
    )
    num_head_channels: int = Field(64, ge=1, description="Channels of an attention head of an ADM network.")
    schedule: Literal["linear", "cosine", "scaled_linear"] | None = Field(
        None,
        description="Noise schedule of the training; null: linear for a file of ADM weights, what a folder or the hub "
        "states.",
    )
    steps: int | None = Field(
        None, ge=2, description="Steps of that schedule; null: 1000, or what a folder or the hub states."
    )
    betas: Numbers | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="First and last beta of a linear or scaled_linear schedule; null: the published ones.",
    )
    predicts: Literal["epsilon", "v", "sample"] | None = Field(
        None,
        description="What the network predicts: the noise, the velocity or the image; null: epsilon, or what a folder "
        "or the hub states.",
    )
    variance: Literal["fixed_small", "fixed_large", "learned", "learned_range"] | None = Field(
        None,
        description="Variance of a step; null: learned_range for ADM weights with channels for it and fixed_large for "
        "others, or what a folder or the hub states.",
    )
    rescale_timesteps: bool = Field(
        False, description="Whether an ADM network was trained with time steps scaled to 0 to 1000."
    )
    check: bool = Field(
        True,
        description="Whether weights are refused that do not take noise away from natural images.",
    )
    checkpointing: bool = Field(
        False,
        description="Guidance computes the network's activations again on the way back rather than keep them: less "
        "memory, more time, the same images.",
    )


class Prior(Options):
    """The image pool, and the diffusion prior that is trained on it."""

    sessions: bool = Field(True, description="The pool holds all images of the sessions that no test split holds.")
    photographs: int = Field(
        0, ge=0, description="Crops of the photographs of scikit-image and scikit-learn in the pool."
    )
    patch_size: int = Field(2, ge=1, description="Pixel blocks that become channels; faster.")
    widths: Integers = Field(
        (64, 128, 128),
        min_length=2,
        description="Channels of the network's levels.",
        json_schema_extra={"items": {"type": "integer", "minimum": 16, "multipleOf": 16}},
    )
    layers: int = Field(1, ge=1, description="Residual blocks per level.")
    steps: int = Field(2000, ge=1, description="Training steps.")
    batch_size: int = Field(32, ge=1, description="Images per step.")
    learning_rate: float = Field(0.0005, gt=0, description="Peak of the cosine schedule.")
    pretrained: Pretrained = Pretrained()


class Decoder(Options):
    """The image decoder that evolution searches; trained on the pool where a method needs it."""

    latent: int = Field(256, ge=2, description="Genes of a code.")
    widths: Integers = Field(
        (96, 64, 32),
        min_length=1,
        description="Channels of the maps, coarsest first, each half as coarse as the one before.",
        json_schema_extra={"items": {"type": "integer", "minimum": 1}},
    )
    steps: int = Field(1500, ge=1, description="Training steps.")
    batch_size: int = Field(64, ge=2, description="Images per step.")
    learning_rate: float = Field(0.002, gt=0, description="Peak of the one-cycle schedule.")
    divergence: float = Field(
        0.001,
        ge=0,
        description="Weight of the Kullback-Leibler divergence of a code from N(0 1) beside the squared error.",
    )
