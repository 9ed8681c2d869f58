"""Priors trained elsewhere: a file of OpenAI ADM weights, or a pixel-space pipeline in diffusers' layout."""

from pathlib import Path

from diffusers import DDPMScheduler, UNet2DModel

from v4egg.errors import V4eggError
from v4egg.priors.adm import load_adm
from v4egg.priors.prior import Prior

ADM_FILES = (".pt", ".pth", ".safetensors")


def pretrained_prior(weights: str, *, image_size: int = 256, num_head_channels: int = 64) -> Prior:
    """The prior of that name.

    Args:
        weights: a file of ADM weights (:data:`ADM_FILES`), or the folder or hub id of a diffusers pipeline with a
            :class:`diffusers.UNet2DModel` over pixels and a DDPM schedule.
        image_size, num_head_channels: of an ADM network; its weights do not show them.

    Raises:
        V4eggError: the weights are missing, damaged, or of another kind of network.
    """
    if Path(weights).suffix in ADM_FILES:
        return load_adm(weights, image_size=image_size, num_head_channels=num_head_channels)
    try:
        unet = UNet2DModel.from_pretrained(weights, subfolder="unet")
        schedule = DDPMScheduler.from_pretrained(weights, subfolder="scheduler").config
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise V4eggError(
            f"{weights}: no pixel-space diffusers pipeline ({reason}); give its folder or hub id, or an ADM file"
        ) from error
    return Prior(unet, {k: v for k, v in schedule.items() if not k.startswith("_")}, fold=1)
