"""Autoencoders in the format of diffusers as image generators: the code is the latent map, scaled to unit variance."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, VQModel
from diffusers.utils import logging
from pydantic import Field
from torch import Tensor

from v4egg.device import autocast
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.registry import PathText
from v4egg.xdream.generators.generator import GeneratorOptions, ImageGenerator

CLASSES: dict[str, Any] = {kind.__name__: kind for kind in (AutoencoderKL, AutoencoderTiny, VQModel)}
_FOLDERS = ("", "vae", "vqvae", "movq")  # subfolders of an autoencoder or of a pipeline


class Autoencoder(ImageGenerator):
    """Codes (B, D) -> latents (channel, y, x) -> images (B, C, size, size).

    A latent is ``code / scaling_factor + shift_factor`` of the autoencoder's configuration (or ``code x latents_std +
    latents_mean`` where it has these), so that each entry of the codes of natural images is about standard normal.
    Neighbouring entries are correlated for natural images but not for random codes.

    Args:
        network: the autoencoder.
        size: side of the images in pixels.

    Raises:
        V4eggError: the size does not fit the network, or its images are neither grey nor RGB.
    """

    spread: Tensor
    centre: Tensor

    def __init__(self, network: Any, size: int) -> None:
        super().__init__()
        config: Any = network.config
        reduction = _reduction(network)
        if size % reduction:
            raise V4eggError(
                f"autoencoder: image_size {size} is not divisible by {reduction}, its reduction; change it"
            )
        if config.out_channels not in (1, 3) or config.in_channels != config.out_channels:
            raise V4eggError(f"autoencoder: its images have {config.out_channels} channels; bring one of 1 or 3")
        self.network = network
        self.latent = (config.latent_channels, size // reduction, size // reduction)
        self.size = self.latent[0] * self.latent[1] * self.latent[2]
        self.shape = (config.out_channels, size, size)
        spread, centre = getattr(config, "latents_std", None), getattr(config, "latents_mean", None)
        spread = [1 / config.scaling_factor] if spread is None else spread
        centre = [getattr(config, "shift_factor", None) or 0.0] if centre is None else centre
        self.register_buffer("spread", torch.tensor(spread, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float32).view(1, -1, 1, 1))

    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, C, y, x) of codes (B, D)."""
        latents = codes.unflatten(1, self.latent) * self.spread + self.centre
        with autocast(codes.device):
            return self.network.decode(latents).sample.float() / 2 + 0.5

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Codes (B, D) of images (B, C, y, x) in [0, 1]."""
        with autocast(images.device):
            encoded = self.network.encode(images * 2 - 1)
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        return ((latents.float() - self.centre) / self.spread).flatten(1)


def load_autoencoder(folder: str | Path, size: int, image_size: int | None = None, device: str = "cpu") -> Autoencoder:
    """Load an autoencoder from a local folder (``config.json`` and safetensors), frozen.

    Args:
        folder: of a diffusers autoencoder (:data:`CLASSES`), or of a pipeline with one.
        size: smallest side of the images in pixels, used where ``image_size`` is not given.
        image_size: side of the images in pixels; divisible by the network's reduction.
        device: where the generator computes.

    Raises:
        V4eggError: there is no such folder, it holds another kind of network, or its weights are missing, damaged or
            of other shapes.
    """
    folder = Path(folder)
    subfolder = next((folder / name for name in _FOLDERS if (folder / name / "config.json").is_file()), None)
    if subfolder is None:
        raise V4eggError(f"{folder}: no config.json of a diffusers autoencoder; give its local folder")
    network = _load_network(subfolder, _class(subfolder / "config.json"))
    reduction = _reduction(network)
    image_size = -(-size // reduction) * reduction if image_size is None else image_size
    generator = Autoencoder(network, image_size)
    return generator.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]


def _class(path: Path) -> Any:
    try:
        name = json.loads(path.read_text())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise V4eggError(f"{path}: no configuration of a diffusers network; download the folder again") from error
    if name not in CLASSES:
        raise V4eggError(f"{path}: holds a '{name}'; give one of {', '.join(CLASSES)}")
    return CLASSES[name]


def _load_network(folder: Path, kind: Any) -> Any:
    """Load a network and check that no weights are missing, which diffusers would initialize at random."""
    options = {"use_safetensors": True, "local_files_only": True, "low_cpu_mem_usage": False}
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        network, report = kind.from_pretrained(folder, output_loading_info=True, **options)
    except Exception as error:  # readers of configuration and weights raise almost anything on a damaged file
        reason = " ".join(str(error).split())[:200]
        raise V4eggError(
            f"{folder}: unreadable {kind.__name__} ({reason}); download it again, with safetensors"
        ) from error
    finally:
        logging.set_verbosity(level)
    for problem in ("missing", "unexpected"):
        if report[f"{problem}_keys"]:
            tensor = min(report[f"{problem}_keys"])
            raise V4eggError(f"{folder}: tensor {tensor} is {problem}; give the whole folder of one {kind.__name__}")
    return network


def _reduction(network: Any) -> int:
    """Side of the images divided by that of the latents."""
    config: Any = network.config
    blocks = getattr(config, "block_out_channels", None) or config.decoder_block_out_channels
    return 2 ** (len(blocks) - 1)


class AutoencoderOptions(GeneratorOptions):
    """An autoencoder of diffusers (AutoencoderKL, AutoencoderTiny or VQModel) from a folder of your own."""

    weights: PathText = Field(
        description="Local folder of a diffusers autoencoder.", json_schema_extra={"x-exists": "folder"}
    )
    image_size: int | None = Field(
        None,
        ge=8,
        description="Pixels per side of its images, divisible by its reduction; by default the size of the images, "
        "rounded up.",
    )

    def build(self, stimulus_spec: Preprocess, device: str, stores: Mapping[str, Any]) -> Autoencoder:
        """The generator with the weights of the folder."""
        return load_autoencoder(self.weights, stimulus_spec.size, self.image_size, device)
