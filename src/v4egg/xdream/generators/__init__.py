"""Image generators by name: from codes to images, for searches that know no gradient."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.xdream.generators.generator import ImageGenerator


def _pixels(stimulus_spec: Preprocess, device: str) -> ImageGenerator:
    from v4egg.xdream.generators.fixed import Pixels

    return Pixels(stimulus_spec)


def _fourier(stimulus_spec: Preprocess, device: str) -> ImageGenerator:
    from v4egg.xdream.generators.fixed import Fourier

    return Fourier(stimulus_spec)


def _decoder(stimulus_spec: Preprocess, device: str, *, decoder: str | Path) -> ImageGenerator:
    from v4egg.xdream.generators.decoder import load_decoder

    return load_decoder(decoder, device)


def _diffusion(stimulus_spec: Preprocess, device: str, *, prior: str | Path, steps: int = 4) -> ImageGenerator:
    from v4egg.priors.loading import load_prior
    from v4egg.xdream.generators.diffusion import Diffusion

    return Diffusion(load_prior(prior, device), steps)


def _deepsim(stimulus_spec: Preprocess, device: str, *, weights: str | Path) -> ImageGenerator:
    from v4egg.xdream.generators.deepsim import load_deepsim

    return load_deepsim(weights, device)


def _autoencoder(
    stimulus_spec: Preprocess, device: str, *, weights: str | Path, image_size: int | None = None
) -> ImageGenerator:
    from v4egg.xdream.generators.autoencoder import load_autoencoder

    return load_autoencoder(weights, stimulus_spec.size, image_size, device)


GENERATORS: dict[str, Callable[..., ImageGenerator]] = {
    "autoencoder": _autoencoder,
    "decoder": _decoder,
    "deepsim": _deepsim,
    "diffusion": _diffusion,
    "fourier": _fourier,
    "pixels": _pixels,
}


def make_generator(name: str, stimulus_spec: Preprocess, device: str = "cpu", **options: Any) -> ImageGenerator:
    """The image generator of that name.

    Args:
        stimulus_spec: size, colour and scale of images that generators without weights make; others bring their own
            size.
        options: ``decoder``, the store of a trained decoder; ``prior``, the store of a prior, and ``steps``
            (diffusion); ``weights``, a file of DeePSiM's fc6 generator (deepsim), or the folder of a diffusers
            autoencoder, and ``image_size`` (autoencoder).

    Raises:
        V4eggError: no generator has that name, or it needs or does not take an option.
    """
    if name not in GENERATORS:
        raise V4eggError(f"evolution: unknown generator '{name}'; known: {', '.join(sorted(GENERATORS))}")
    try:
        return GENERATORS[name](stimulus_spec, device, **options).to(device)
    except TypeError as error:
        raise V4eggError(f"evolution: generator '{name}': {error}; correct its options") from error


__all__ = ["GENERATORS", "ImageGenerator", "make_generator"]
