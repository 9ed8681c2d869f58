"""Priors over the latents of an autoencoder (latent diffusion; Rombach et al. 2022, CVPR)."""

from collections.abc import Mapping
from typing import Any

from diffusers import AutoencoderKL, ModelMixin, VQModel
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.priors.prior import Prior, network_options

AUTOENCODERS = {"VQModel": VQModel, "AutoencoderKL": AutoencoderKL}
PREFIX = "vae."  # of the autoencoder's weights in a store


class LatentPrior(Prior):
    """A prior over latents, whose x0_hat the autoencoder's decoder converts to images.

    Args:
        unet: denoiser of the latents.
        schedule: as in :class:`Prior`.
        vae: the autoencoder, one of :data:`AUTOENCODERS`. Its ``scaling_factor`` (and ``shift_factor``), which gave its
            latents about unit variance for the training of the denoiser, is inverted before decoding.

    Raises:
        V4eggError: denoiser and autoencoder differ in the channels of their latents.

    Example:
        >>> from diffusers import UNet2DModel
        >>> blocks = {"block_out_channels": (8, 8), "norm_num_groups": 4}
        >>> vae = new_vae(
        ...     {"class": "AutoencoderKL", "latent_channels": 2, "down_block_types": ("DownEncoderBlock2D",) * 2,
        ...      "up_block_types": ("UpDecoderBlock2D",) * 2, **blocks}
        ... )
        >>> unet = UNet2DModel(
        ...     sample_size=4, in_channels=2, out_channels=2, layers_per_block=1, down_block_types=("DownBlock2D",) * 2,
        ...     up_block_types=("UpBlock2D",) * 2, **blocks
        ... )
        >>> prior = LatentPrior(unet, {"num_train_timesteps": 10}, vae)
        >>> prior.shape, prior.image_shape
        ((2, 4, 4), (3, 8, 8))
    """

    def __init__(self, unet: ModelMixin, schedule: Mapping[str, Any], vae: ModelMixin):
        super().__init__(unet, schedule, patch_size=1)
        channels, size, _ = self.shape
        if vae.config.latent_channels != channels:
            raise V4eggError(
                f"the denoiser has latents of {channels} channels and the autoencoder of "
                f"{vae.config.latent_channels}; give parts of one unconditional pipeline"
            )
        self.vae = vae
        side = size * 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_shape = (vae.config.out_channels, side, side)

    def encode(self, images: Tensor) -> Tensor:
        """Convert images (batch, *image_shape) in [0, 1] to latents (batch, *shape), without drawing any."""
        config = self.vae.config
        encoded = self.vae.encode((images * 2 - 1).to(self.vae.dtype))
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        return (latents.float() - (config.get("shift_factor") or 0.0)) * config.scaling_factor

    def decode(self, clean: Tensor) -> Tensor:
        """Convert latents (batch, *shape) to images (batch, *image_shape) in [0, 1], not clipped.

        A vector-quantised decoder replaces latents by entries of its codebook, with straight-through gradients.
        """
        config = self.vae.config
        latents = clean / config.scaling_factor + (config.get("shift_factor") or 0.0)
        decoded: Tensor = self.vae.decode(latents.to(self.vae.dtype)).sample
        return (decoded.float() + 1) / 2

    def weights(self) -> dict[str, Tensor]:
        """Return the weights of denoiser and autoencoder by name, for a store."""
        return self.unet.state_dict() | {PREFIX + name: value for name, value in self.vae.state_dict().items()}

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights that :meth:`weights` returned."""
        vae_state = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
        self.vae.load_state_dict(vae_state)
        super().load_weights({name: value for name, value in state.items() if not name.startswith(PREFIX)})

    def spec(self) -> dict[str, Any]:
        """Return the specification from which :func:`v4egg.priors.loading.prior_from_spec` builds the same prior."""
        return super().spec() | {"vae": {"class": type(self.vae).__name__, **network_options(self.vae)}}


def new_vae(spec: Mapping[str, Any]) -> ModelMixin:
    """Build an untrained autoencoder from ``class``, a key of :data:`AUTOENCODERS`, and its options."""
    options = dict(spec)
    return AUTOENCODERS[options.pop("class")].from_config(options)
