"""Pretrained priors: files of OpenAI ADM weights, and diffusers pipelines over pixels or latents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffusers import DDPMScheduler, DiffusionPipeline, ModelMixin, UNet2DModel

from v4egg.errors import V4eggError
from v4egg.priors.adm import ADMUNet, load_adm
from v4egg.priors.latent import AUTOENCODERS, LatentPrior
from v4egg.priors.prior import Prior
from v4egg.priors.schedule import PREDICTIONS, SCHEDULES, check_variance, noise_schedule

ADM_FILES = (".pt", ".pth", ".safetensors")
ADM_SIZE = 256  # px of the published network
DENOISERS = {"UNet2DModel": UNet2DModel, "ADMUNet": ADMUNet}
DECODERS = ("vqvae", "vae")  # names of a pipeline's autoencoder
PARTS = ("unet", "scheduler", *DECODERS)


def pretrained_prior(
    weights: str,
    *,
    revision: str = "",
    image_size: int | None = None,
    num_head_channels: int = 64,
    schedule: str | None = None,
    steps: int | None = None,
    betas: Sequence[float] | None = None,
    predicts: str | None = None,
    variance: str | None = None,
    rescale_timesteps: bool = False,
    checkpointing: bool = False,
) -> Prior:
    """Load a pretrained prior.

    Args:
        weights: a file of ADM weights (with a suffix of :data:`ADM_FILES`), or the folder or hub id of an unconditional
            diffusers pipeline: a :class:`diffusers.UNet2DModel` and a schedule of betas over pixels (as in
            DDPMPipeline), or over the latents of a :class:`diffusers.VQModel` or :class:`diffusers.AutoencoderKL` (as
            in LDMPipeline).
        revision: of a hub id, a commit or a tag; empty: the newest.
        image_size: side in px of the images. None: 256 for ADM weights, what the folder states for a pipeline.
        num_head_channels: channels per attention head of an ADM network, which its weights do not determine.
        schedule, steps, betas, predicts, variance: of the training, see :func:`v4egg.priors.adm.load_adm`; those that
            are given take precedence over the scheduler of a pipeline.
        rescale_timesteps: whether an ADM network was trained with time steps scaled to 0 to 1000.
        checkpointing: whether activations are recomputed in the backward pass instead of stored.

    Raises:
        V4eggError: the weights are missing, damaged, or of another kind of network, such as one that is conditioned on
            text, a class or an image; or the options contradict them.

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
    training: dict[str, Any] = {
        "schedule": schedule,
        "steps": steps,
        "betas": betas,
        "predicts": predicts,
        "variance": variance,
    }
    if Path(weights).suffix in ADM_FILES:
        own: dict[str, Any] = {"num_head_channels": num_head_channels, "rescale_timesteps": rescale_timesteps}
        prior = load_adm(weights, image_size=image_size or ADM_SIZE, **own, **training)
    elif rescale_timesteps:
        raise V4eggError(f"{weights}: rescale_timesteps is for files of ADM weights; remove it")
    else:
        try:
            prior = _Pipeline(weights, revision).prior(image_size, training)
        except V4eggError as error:
            text = str(error)
            raise V4eggError(text if text.startswith(str(weights)) else f"{weights}: {text}") from error
    if checkpointing:
        prior.enable_gradient_checkpointing()
    return prior


class _Pipeline:
    """A diffusers pipeline in a folder or on the hub, read part by part; errors do not name it."""

    def __init__(self, weights: str, revision: str) -> None:
        self.weights, self.where = weights, {"revision": revision} if revision else {}

    def prior(self, image_size: int | None, training: Mapping[str, Any]) -> Prior:
        """The prior of its parts; those of ``training`` that are given take precedence over its scheduler."""
        index = self._index()
        unet = self._network("unet", DENOISERS)
        _check_unconditional(unet)
        noise = _with_training(self._schedule(), training)
        check_variance(noise, unet.config.out_channels == 2 * unet.config.in_channels)
        decoder = next((name for name in DECODERS if _named(index, name)), None)
        if decoder is None:
            patch_size = index.get("patch_size", 1)  # only pipelines that this package wrote have one
            _resize(unet, image_size, patch_size)
            return Prior(unet, noise, patch_size)
        vae = self._network(decoder, AUTOENCODERS)
        _resize(unet, image_size, 2 ** (len(vae.config.block_out_channels) - 1))
        return LatentPrior(unet, noise, vae)

    def _index(self) -> Mapping[str, Any]:
        """The parts of the pipeline by model_index.json; empty if there is no such file."""
        try:
            index: dict[str, Any] = DiffusionPipeline.load_config(self.weights, **self.where)
        except (OSError, ValueError):  # a folder with unet and scheduler only is valid too
            return {}
        more = [name for name in index if not name.startswith("_") and name not in PARTS and _named(index, name)]
        if more:
            raise V4eggError(
                f"the pipeline also has {', '.join(more)}, which this package cannot use; give an unconditional "
                "pipeline (unet, scheduler and, over latents, vqvae or vae)"
            )
        return index

    def _network(self, part: str, classes: Mapping[str, type[ModelMixin]]) -> ModelMixin:
        """One network of the pipeline, all of whose weights are in its file."""
        where = {"subfolder": part, **self.where}
        try:
            config = UNet2DModel.load_config(self.weights, **where)
            kind = config.get("_class_name", next(iter(classes)))
            if kind not in classes:
                expected = " or ".join(classes)
                raise V4eggError(f"{part} is a {kind}; give an unconditional pipeline whose {part} is {expected}")
            options = {"low_cpu_mem_usage": False, "output_loading_info": True}  # low memory would need another package
            network, info = classes[kind].from_pretrained(self.weights, **where, **options)
        except V4eggError:  # a ValueError too, and complete already
            raise
        except (OSError, ValueError, RuntimeError) as error:
            raise _unreadable(error) from error
        wrong = [f"{name} is missing" for name in info["missing_keys"]]
        wrong += [f"{name} is not of this network" for name in info["unexpected_keys"]]
        if wrong:  # diffusers only warns and continues with random weights
            raise V4eggError(f"the weights of {part} do not fit its config.json: {wrong[0]}; give it whole")
        return network

    def _schedule(self) -> dict[str, Any]:
        try:
            config = DDPMScheduler.load_config(self.weights, subfolder="scheduler", **self.where)
        except (OSError, ValueError) as error:
            raise _unreadable(error) from error
        if "beta_schedule" not in config:
            kind = config.get("_class_name", "scheduler")
            raise V4eggError(f"{kind} has no schedule of betas; give a pipeline trained with DDPM's noise")
        options = {"clip_sample": False} | dict(config)  # schedulers without this option do not clip
        return {k: v for k, v in DDPMScheduler.from_config(options).config.items() if not k.startswith("_")}


def _named(index: Mapping[str, Any], part: str) -> bool:
    """Whether the pipeline has a part: its library and class, which are null if an optional part is left out."""
    value = index.get(part)
    return isinstance(value, list | tuple) and value[-1] is not None


def _check_unconditional(unet: ModelMixin) -> None:
    config = unet.config
    if config.get("class_embed_type") or config.get("num_class_embeds"):
        raise V4eggError("unet is conditioned on classes; give an unconditional pipeline")
    if config.out_channels not in (config.in_channels, 2 * config.in_channels):
        raise V4eggError(
            f"unet has {config.in_channels} channels in and {config.out_channels} out, which is no unconditional "
            "denoiser; give one with equal numbers (twice as many out with a learned variance)"
        )


def _with_training(scheduler: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """The schedule of a pipeline, with what is given of its training in the place of its own."""
    name, steps, betas, predicts, variance = (
        training[key] for key in ("schedule", "steps", "betas", "predicts", "variance")
    )
    noise = dict(scheduler)
    if name or steps or betas:
        own = {value: key for key, value in SCHEDULES.items()}.get(noise["beta_schedule"])
        steps = steps or noise["num_train_timesteps"]
        noise |= noise_schedule(name or own, steps, predicts, betas, noise["variance_type"])
        noise |= {"trained_betas": None, "rescale_betas_zero_snr": False}
        noise |= {key: scheduler[key] for key in ("timestep_spacing", "prediction_type")}
    if predicts:
        noise["prediction_type"] = PREDICTIONS[predicts]
    return noise | ({"variance_type": variance} if variance else {})


def _resize(unet: ModelMixin, image_size: int | None, reduction: int) -> None:
    """Set the side of the network's tensors to that of images of ``image_size`` px, if it is given."""
    if image_size is None:
        return
    if image_size % reduction:
        raise V4eggError(f"image_size is {image_size}; it must be a multiple of {reduction}, the network's reduction")
    unet.register_to_config(sample_size=image_size // reduction)


def _unreadable(error: Exception) -> V4eggError:
    reason = " ".join(str(error).split())[:200]
    return V4eggError(f"no diffusers pipeline ({reason}); give its folder or hub id, or an ADM file")
