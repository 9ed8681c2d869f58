"""Priors over latents: a denoiser of what an autoencoder makes of images (Rombach et al., CVPR 2022)."""

from collections.abc import Mapping
from typing import Any

from diffusers import AutoencoderKL, ModelMixin, VQModel
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.priors.prior import Prior, network_options

AUTOENCODERS = {"VQModel": VQModel, "AutoencoderKL": AutoencoderKL}
PREFIX = "vae."  # of the autoencoder's weights in a store


class LatentPrior(Prior):
    """A prior whose x_t are latents: x0_hat becomes an image through the autoencoder's decoder.

    Args:
        unet: denoiser of the latents.
        schedule: as of :class:`Prior`.
        vae: the autoencoder, one of :data:`AUTOENCODERS`. Its ``scaling_factor`` (and ``shift_factor``) brought its
            latents to about unit variance before the denoiser was trained, and is undone before decoding.

    Raises:
        V4eggError: the denoiser's latents have not the autoencoder's channels.
    """

    def __init__(self, unet: ModelMixin, schedule: Mapping[str, Any], vae: ModelMixin):
        super().__init__(unet, schedule, patch_size=1)
        channels, size, _ = self.shape
        if vae.config.latent_channels != channels:
            raise V4eggError(
                f"the denoiser takes latents of {channels} channels and the autoencoder makes "
                f"{vae.config.latent_channels}; give parts of one unconditional pipeline"
            )
        self.vae = vae
        side = size * 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_shape = (vae.config.out_channels, side, side)

    def decode(self, clean: Tensor) -> Tensor:
        """Latents (B, *shape) as images (B, *image_shape), [0, 1] but not clipped.

        A vector-quantised decoder rounds latents to its codebook and hands gradients straight through the rounding.
        """
        config = self.vae.config
        latents = clean / config.scaling_factor + (config.get("shift_factor") or 0.0)
        return (self.vae.decode(latents.to(self.vae.dtype)).sample.float() + 1) / 2

    def weights(self) -> dict[str, Tensor]:
        return self.unet.state_dict() | {PREFIX + name: value for name, value in self.vae.state_dict().items()}

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        own = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
        self.vae.load_state_dict(own)
        super().load_weights({name: value for name, value in state.items() if not name.startswith(PREFIX)})

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"vae": {"class": type(self.vae).__name__, **network_options(self.vae)}}


def new_vae(spec: Mapping[str, Any]) -> ModelMixin:
    """An untrained autoencoder of that specification: its class, and its options."""
    options = dict(spec)
    return AUTOENCODERS[options.pop("class")].from_config(options)
