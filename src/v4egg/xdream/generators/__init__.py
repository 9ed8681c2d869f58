"""Image generators by name: from codes to images, for searches that use no gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from v4egg.registry import Entry, Registry, options_of

if TYPE_CHECKING:
    from v4egg.images.processing import Preprocess
    from v4egg.xdream.generators.generator import ImageGenerator

IMAGE_GENERATORS: Registry = {
    "autoencoder": Entry("v4egg.xdream.generators.autoencoder:AutoencoderOptions"),
    "decoder": Entry("v4egg.xdream.generators.decoder:DecoderOptions", required_stores=("decoder",)),
    "deepsim": Entry("v4egg.xdream.generators.deepsim:DeepSimOptions", label="DeePSiM"),
    "diffusion": Entry("v4egg.xdream.generators.diffusion:DiffusionOptions", required_stores=("prior",)),
    "fourier": Entry("v4egg.xdream.generators.fixed:FourierOptions"),
    "pixels": Entry("v4egg.xdream.generators.fixed:PixelsOptions"),
}


def make_image_generator(
    name: str,
    stimulus_spec: Preprocess,
    device: str = "cpu",
    *,
    stores: Mapping[str, Any] | None = None,
    **options: Any,
) -> ImageGenerator:
    """The image generator of that name.

    Args:
        name: a name of :data:`IMAGE_GENERATORS`.
        stimulus_spec: size, colour and scale of images that generators without weights make; others have their own
            size.
        device: where to compute.
        stores: paths of the stores that the generator's entry requires, by name: ``decoder`` or ``prior``.
        options: of the generator.

    Raises:
        V4eggError: no generator has that name, a store is not given, or an option is unknown or impossible.

    Example:
        >>> import torch
        >>> from v4egg.images.processing import Preprocess
        >>> generator = make_image_generator("pixels", Preprocess(8, 1, [0.5], [0.2]))
        >>> generator.size, generator(torch.zeros(2, 64)).shape
        (64, torch.Size([2, 1, 8, 8]))
    """
    chosen = options_of(IMAGE_GENERATORS, name, options, "image generator")
    return chosen.build(stimulus_spec, device, stores or {}).to(device)
