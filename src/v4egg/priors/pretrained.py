"""Priors trained elsewhere: a file of OpenAI ADM weights, or a pipeline in diffusers' layout over pixels or latents."""

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
    """The prior of that name.

    Args:
        weights: a file of ADM weights (:data:`ADM_FILES`), or the folder or hub id of an unconditional diffusers
            pipeline: a :class:`diffusers.UNet2DModel` and a schedule of betas over pixels (as DDPMPipeline), or over
            the latents of a :class:`diffusers.VQModel` or :class:`diffusers.AutoencoderKL` (as LDMPipeline).
        image_size, num_head_channels: of an ADM network; its weights do not show them.
        checkpointing: whether guidance computes activations again on the way back rather than keep them.

    Raises:
        V4eggError: the weights are missing, damaged, of another kind of network, or want more than noise and a time
            (a text, a class, an image).
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
        return Prior(
            unet, schedule, patch_size=index.get("patch_size", 1)
        )  # a patch size is of this package's own pipelines
    vae = _network(weights, decoder, AUTOENCODERS)
    try:
        return LatentPrior(unet, schedule, vae)
    except V4eggError as error:
        raise V4eggError(f"{weights}: {error}") from error


def _index(weights: str) -> Mapping[str, Any]:
    """What model_index.json says of the pipeline's parts; nothing where there is no such file."""
    try:
        index = DiffusionPipeline.load_config(weights)
    except (OSError, ValueError):  # a folder of unet and scheduler alone will do
        return {}
    more = [name for name in index if not name.startswith("_") and name not in PARTS and _named(index, name)]
    if more:
        raise V4eggError(
            f"{weights}: the pipeline also has {', '.join(more)}, and this package gives a denoiser nothing but noise "
            "and a time; give an unconditional pipeline (unet, scheduler and, over latents, vqvae or vae)"
        )
    return index


def _named(index: Mapping[str, Any], part: str) -> bool:
    """Whether the pipeline has that part: a library and a class, which are null where an optional part is left out."""
    value = index.get(part)
    return isinstance(value, list | tuple) and value[-1] is not None


def _network(weights: str, part: str, known: Mapping[str, type[ModelMixin]]) -> ModelMixin:
    """One network of the pipeline, all of whose weights are in its file."""
    try:
        config = UNet2DModel.load_config(weights, subfolder=part)
        kind = config.get("_class_name", next(iter(known)))
        if kind not in known:
            wanted = " or ".join(known)
            raise V4eggError(f"{weights}: {part} is a {kind}; give an unconditional pipeline whose {part} is {wanted}")
        plainly = {"low_cpu_mem_usage": False, "output_loading_info": True}  # the former wants a package more
        network, found = known[kind].from_pretrained(weights, subfolder=part, **plainly)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(weights, error) from error
    wrong = [f"{name} is missing" for name in found["missing_keys"]]
    wrong += [f"{name} is not of this network" for name in found["unexpected_keys"]]
    if wrong:  # diffusers would go on with random numbers
        raise V4eggError(f"{weights}: the weights of {part} do not fit its config.json: {wrong[0]}; give it whole")
    return network


def _check_unconditional(unet: ModelMixin, weights: str) -> None:
    config = unet.config
    if config.get("class_embed_type") or config.get("num_class_embeds"):
        raise V4eggError(f"{weights}: unet wants the class of an image; give an unconditional pipeline")
    if config.out_channels not in (config.in_channels, 2 * config.in_channels):
        raise V4eggError(
            f"{weights}: unet has {config.in_channels} channels in and {config.out_channels} out, which is no "
            "unconditional denoiser; give one with as many out as in (twice as many with a learned variance)"
        )


def _schedule(weights: str) -> dict[str, Any]:
    try:
        given = DDPMScheduler.load_config(weights, subfolder="scheduler")
    except (OSError, ValueError) as error:
        raise _unreadable(weights, error) from error
    if "beta_schedule" not in given:
        kind = given.get("_class_name", "scheduler")
        raise V4eggError(f"{weights}: {kind} has no schedule of betas; give a pipeline trained with DDPM's noise")
    own = {"clip_sample": False} | dict(given)  # schedulers that know no clipping do none
    return {k: v for k, v in DDPMScheduler.from_config(own).config.items() if not k.startswith("_")}


def _unreadable(weights: str, error: Exception) -> V4eggError:
    reason = " ".join(str(error).split())[:200]
    return V4eggError(f"{weights}: no diffusers pipeline ({reason}); give its folder or hub id, or an ADM file")
