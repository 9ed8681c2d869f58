"""Pretrained priors: files of OpenAI ADM weights, and diffusers pipelines over pixels or latents."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import DDPMScheduler, DiffusionPipeline, ModelMixin, UNet2DModel

from v4egg.errors import V4eggError
from v4egg.priors.adm import ADMUNet, load_adm
from v4egg.priors.latent import AUTOENCODERS, LatentPrior
from v4egg.priors.prior import Prior

ADM_FILES = (".pt", ".pth", ".safetensors")
DENOISERS = {"UNet2DModel": UNet2DModel, "ADMUNet": ADMUNet}
DECODERS = ("vqvae", "vae")  # names of a pipeline's autoencoder
PARTS = ("unet", "scheduler", *DECODERS)


def pretrained_prior(
    weights: str, *, image_size: int = 256, num_head_channels: int = 64, checkpointing: bool = False
) -> Prior:
    """Load a pretrained prior.

    Args:
        weights: a file of ADM weights (with a suffix of :data:`ADM_FILES`), or the folder or hub id of an unconditional
            diffusers pipeline: a :class:`diffusers.UNet2DModel` and a schedule of betas over pixels (as in
            DDPMPipeline), or over the latents of a :class:`diffusers.VQModel` or :class:`diffusers.AutoencoderKL` (as
            in LDMPipeline).
        image_size: side in px of the images of an ADM network, which its weights do not determine.
        num_head_channels: channels per attention head of an ADM network, which its weights do not determine.
        checkpointing: whether activations are recomputed in the backward pass instead of stored.

    Raises:
        V4eggError: the weights are missing, damaged, or of another kind of network, such as one that is conditioned on
            text, a class or an image.

    Example:
        >>> import tempfile
        >>> from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
        >>> blocks = {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}
        >>> unet = UNet2DModel(8, 1, 1, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, **blocks)
        >>> folder = tempfile.mkdtemp()
        >>> DDPMPipeline(unet, DDPMScheduler()).save_pretrained(folder)
        >>> pretrained_prior(folder).image_shape
        (1, 8, 8)
    """
    if Path(weights).suffix in ADM_FILES:
        prior = load_adm(weights, image_size=image_size, num_head_channels=num_head_channels)
    else:
        prior = _from_pipeline(weights)
    if checkpointing:
        prior.enable_gradient_checkpointing()
    return prior


def _from_pipeline(weights: str) -> Prior:
    index = _index(weights)
    unet = _network(weights, "unet", DENOISERS)
    _check_unconditional(unet, weights)
    schedule = _schedule(weights)
    decoder = next((name for name in DECODERS if _named(index, name)), None)
    if decoder is None:
        # only pipelines that this package wrote have a patch size
        return Prior(unet, schedule, patch_size=index.get("patch_size", 1))
    vae = _network(weights, decoder, AUTOENCODERS)
    try:
        return LatentPrior(unet, schedule, vae)
    except V4eggError as error:
        raise V4eggError(f"{weights}: {error}") from error


def _index(weights: str) -> Mapping[str, Any]:
    """The parts of the pipeline by model_index.json; empty if there is no such file."""
    try:
        index: dict[str, Any] = DiffusionPipeline.load_config(weights)
    except (OSError, ValueError):  # a folder with unet and scheduler only is valid too
        return {}
    more = [name for name in index if not name.startswith("_") and name not in PARTS and _named(index, name)]
    if more:
        raise V4eggError(
            f"{weights}: the pipeline also has {', '.join(more)}, which this package cannot use; give an unconditional "
            "pipeline (unet, scheduler and, over latents, vqvae or vae)"
        )
    return index


def _named(index: Mapping[str, Any], part: str) -> bool:
    """Whether the pipeline has a part: its library and class, which are null if an optional part is left out."""
    value = index.get(part)
    return isinstance(value, list | tuple) and value[-1] is not None


def _network(weights: str, part: str, classes: Mapping[str, type[ModelMixin]]) -> ModelMixin:
    """One network of the pipeline, all of whose weights are in its file."""
    try:
        config = UNet2DModel.load_config(weights, subfolder=part)
        kind = config.get("_class_name", next(iter(classes)))
        if kind not in classes:
            expected = " or ".join(classes)
            raise V4eggError(
                f"{weights}: {part} is a {kind}; give an unconditional pipeline whose {part} is {expected}"
            )
        options = {"low_cpu_mem_usage": False, "output_loading_info": True}  # low memory would need another package
        network, info = classes[kind].from_pretrained(weights, subfolder=part, **options)
    except V4eggError:  # a ValueError too, and complete already
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(weights, error) from error
    wrong = [f"{name} is missing" for name in info["missing_keys"]]
    wrong += [f"{name} is not of this network" for name in info["unexpected_keys"]]
    if wrong:  # diffusers only warns and continues with random weights
        raise V4eggError(f"{weights}: the weights of {part} do not fit its config.json: {wrong[0]}; give it whole")
    return network


def _check_unconditional(unet: ModelMixin, weights: str) -> None:
    config = unet.config
    if config.get("class_embed_type") or config.get("num_class_embeds"):
        raise V4eggError(f"{weights}: unet is conditioned on classes; give an unconditional pipeline")
    if config.out_channels not in (config.in_channels, 2 * config.in_channels):
        raise V4eggError(
            f"{weights}: unet has {config.in_channels} channels in and {config.out_channels} out, which is no "
            "unconditional denoiser; give one with equal numbers (twice as many out with a learned variance)"
        )


def _schedule(weights: str) -> dict[str, Any]:
    try:
        config = DDPMScheduler.load_config(weights, subfolder="scheduler")
    except (OSError, ValueError) as error:
        raise _unreadable(weights, error) from error
    if "beta_schedule" not in config:
        kind = config.get("_class_name", "scheduler")
        raise V4eggError(f"{weights}: {kind} has no schedule of betas; give a pipeline trained with DDPM's noise")
    options = {"clip_sample": False} | dict(config)  # schedulers without this option do not clip
    return {k: v for k, v in DDPMScheduler.from_config(options).config.items() if not k.startswith("_")}


def _unreadable(weights: str, error: Exception) -> V4eggError:
    reason = " ".join(str(error).split())[:200]
    return V4eggError(f"{weights}: no diffusers pipeline ({reason}); give its folder or hub id, or an ADM file")
