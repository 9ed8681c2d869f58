"""The ADM prior: OpenAI's guided-diffusion network (Dhariwal & Nichol 2021, NeurIPS), from a state dict of the user.

The prior of the EGG paper is the unconditional network of 256 px (``256x256_diffusion_uncond.pt``, 552.8 million
parameters). Parameters have the names of its state dict. Networks like that one are supported: without classes, with
scale-shift norm, with resampling residual blocks, and with attention whose queries, keys and values are stored head by
head.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor, nn

from v4egg.errors import V4eggError
from v4egg.io.weights import read_weights
from v4egg.priors.prior import Prior, frozen
from v4egg.priors.schedule import PUBLISHED_STEPS, check_variance, default_variance, noise_schedule

GROUPS = 32  # of every group norm


class ADMUNet(ModelMixin, ConfigMixin):
    """The network of ADM: noisy images (batch, in_channels, y, x) and a time step to (batch, out_channels, y, x).

    Args:
        sample_size: side of the images in px.
        in_channels: channels of the images.
        out_channels: channels of the noise, followed by as many of the variance if that is learned.
        model_channels: the width that ``channel_mult`` multiplies.
        channel_mult: relative width of each level, from full resolution down; each level halves the side.
        num_res_blocks: residual blocks per level.
        attention_resolutions: sides in px of the levels with attention.
        num_head_channels: channels per attention head.
        time_scale: factor of the time step before it is embedded, for networks that were trained with steps scaled to 0
            to 1000 (``rescale_timesteps``).

    Raises:
        V4eggError: sizes or widths are not divisible as required.

    Example:
        >>> unet = ADMUNet(sample_size=8, out_channels=3, model_channels=32, channel_mult=(1, 1), num_res_blocks=1,
        ...                attention_resolutions=(), num_head_channels=32)
        >>> unet(torch.zeros(2, 3, 8, 8), 10).sample.shape
        torch.Size([2, 3, 8, 8])
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        sample_size: int = 256,
        in_channels: int = 3,
        out_channels: int = 6,
        model_channels: int = 256,
        channel_mult: Sequence[float] = (1, 1, 2, 2, 4, 4),
        num_res_blocks: int = 2,
        attention_resolutions: Sequence[int] = (32, 16, 8),
        num_head_channels: int = 64,
        time_scale: float = 1.0,
    ):
        super().__init__()
        self.gradient_checkpointing = False
        sizes = [sample_size // 2**level for level in range(len(channel_mult))]
        widths = [round(model_channels * multiple) for multiple in channel_mult]
        attended = [size in attention_resolutions for size in sizes]
        _check(sample_size, widths, attended, num_head_channels)
        embedded = 4 * model_channels
        self.time_embed = nn.Sequential(nn.Linear(model_channels, embedded), nn.SiLU(), nn.Linear(embedded, embedded))

        def stage(width_in: int, width: int, attention: bool, resample: str | None = None) -> _Stage:
            layers: list[nn.Module] = [_Residual(width_in, width, embedded)]
            layers += [_Attention(width, num_head_channels)] if attention else []
            layers += [_Residual(width, width, embedded, resample)] if resample else []
            return _Stage(*layers)

        self.input_blocks = nn.ModuleList([_Stage(nn.Conv2d(in_channels, widths[0], 3, padding=1))])
        width, skipped = widths[0], [widths[0]]
        for level, (wanted, attention) in enumerate(zip(widths, attended, strict=True)):
            for _ in range(num_res_blocks):
                self.input_blocks.append(stage(width, wanted, attention))
                width = wanted
                skipped.append(width)
            if level < len(widths) - 1:
                self.input_blocks.append(_Stage(_Residual(width, width, embedded, "down")))
                skipped.append(width)
        self.middle_block = _Stage(
            _Residual(width, width, embedded), _Attention(width, num_head_channels), _Residual(width, width, embedded)
        )
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            for block in range(num_res_blocks + 1):
                resample = "up" if level and block == num_res_blocks else None
                self.output_blocks.append(stage(width + skipped.pop(), widths[level], attended[level], resample))
                width = widths[level]
        self.out = nn.Sequential(_norm(width), nn.SiLU(), nn.Conv2d(width, out_channels, 3, padding=1))

    def forward(self, sample: Tensor, timestep: Tensor | int) -> UNet2DOutput:
        """Predict the noise (and the variance if it is learned).

        Args:
            sample: x_t, (batch, in_channels, y, x).
            timestep: one, or one per image.
        """
        times = torch.as_tensor(timestep, device=sample.device).expand(len(sample)) * self.config.time_scale
        waves = get_timestep_embedding(times, self.config.model_channels, flip_sin_to_cos=True, downscale_freq_shift=0)
        embedding = self.time_embed(waves.to(sample.dtype))
        skipped = []
        for stage in self.input_blocks:
            sample = self._run(stage, sample, embedding)
            skipped.append(sample)
        sample = self._run(self.middle_block, sample, embedding)
        for stage in self.output_blocks:
            sample = self._run(stage, torch.cat([sample, skipped.pop()], 1), embedding)
        return UNet2DOutput(sample=self.out(sample))

    def _run(self, stage: nn.Module, features: Tensor, embedding: Tensor) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            checkpointed: Tensor = self._gradient_checkpointing_func(stage, features, embedding)
            return checkpointed
        result: Tensor = stage(features, embedding)
        return result


class _Stage(nn.Sequential):
    """Layers in sequence, of which the residual blocks also take the embedded time step."""

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]  # one more input
        for layer in self:
            features = layer(features, embedding) if isinstance(layer, _Residual) else layer(features)
        return features


class _Residual(nn.Module):
    """A residual block whose second norm is scaled and shifted by the time step; ``resample`` is "up" or "down"."""

    def __init__(self, width_in: int, width: int, embedded: int, resample: str | None = None):
        super().__init__()
        self.resample = resample
        self.in_layers = nn.Sequential(_norm(width_in), nn.SiLU(), nn.Conv2d(width_in, width, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedded, 2 * width))
        # the third layer is the dropout of training, needed for the numbering of the parameters
        self.out_layers = nn.Sequential(_norm(width), nn.SiLU(), nn.Identity(), nn.Conv2d(width, width, 3, padding=1))
        self.skip_connection = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        hidden = self.in_layers[2](_resampled(self.in_layers[:2](features), self.resample))
        scale, shift = self.emb_layers(embedding)[:, :, None, None].chunk(2, 1)
        hidden = self.out_layers[0](hidden) * (1 + scale) + shift
        return self.skip_connection(_resampled(features, self.resample)) + self.out_layers[1:](hidden)


class _Attention(nn.Module):
    """Self-attention over positions; the channels of ``qkv`` are (head, query | key | value, channel)."""

    def __init__(self, width: int, head_channels: int):
        super().__init__()
        self.head_channels = head_channels
        self.norm = _norm(width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        flat = features.flatten(2)
        parts = self.qkv(self.norm(flat)).unflatten(1, (-1, 3, self.head_channels)).transpose(-1, -2)
        attended = F.scaled_dot_product_attention(*parts.unbind(2))  # (B, head, position, channel)
        return features + self.proj_out(attended.transpose(-1, -2).flatten(1, 2)).view_as(features)


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, width)


def _resampled(features: Tensor, resample: str | None) -> Tensor:
    if resample == "up":
        return F.interpolate(features, scale_factor=2, mode="nearest")
    return F.avg_pool2d(features, 2) if resample == "down" else features


def _check(sample_size: int, widths: Sequence[int], attended: Sequence[bool], head_channels: int) -> None:
    reduction = 2 ** (len(widths) - 1)
    if sample_size < reduction or sample_size % reduction:
        raise V4eggError(f"image_size is {sample_size}; {len(widths)} levels need a multiple of {reduction}")
    uneven = [width for width in widths if width < 1 or width % GROUPS]
    if uneven:
        raise V4eggError(f"channel_mult gives a width of {uneven[0]}; the group norms need multiples of {GROUPS}")
    heads = [width for width, attention in zip(widths, attended, strict=True) if attention] + [widths[-1]]
    uneven = [width for width in heads if head_channels < 1 or width % head_channels]
    if uneven:
        raise V4eggError(
            f"num_head_channels is {head_channels}; it must divide the {uneven[0]} channels of an attention block"
        )


def load_adm(
    path: str | Path,
    *,
    image_size: int = 256,
    num_head_channels: int = 64,
    schedule: str | None = None,
    steps: int | None = None,
    betas: Sequence[float] | None = None,
    predicts: str | None = None,
    variance: str | None = None,
    rescale_timesteps: bool = False,
    device: str = "cpu",
    precision: torch.dtype = torch.float32,
) -> Prior:
    """Load an ADM prior from a state dict, frozen and with the noise schedule of its training.

    Widths, levels, blocks, attention, channels and whether the variance is learned follow from the shapes of the
    tensors. What does not follow must be given; the defaults are those of the published network of 256 px.

    Args:
        path: a torch file or a ``.safetensors`` file.
        image_size: side of the images in px.
        num_head_channels: channels per attention head.
        schedule, steps, betas, predicts: of the training, see :func:`v4egg.priors.schedule.noise_schedule`.
        variance: of a step, one of :data:`v4egg.priors.schedule.VARIANCES`; None: ``learned_range`` where the network
            has channels for it, else ``fixed_large``.
        rescale_timesteps: whether the network was trained with time steps scaled to 0 to 1000.
        device: where to compute.
        precision: of the weights. x0_hat amplifies rounding of the noise by 1 / sqrt(alpha_bar): up to 157 in a linear
            schedule, more in a cosine one.

    Raises:
        V4eggError: the file is missing or damaged, or contains weights of another architecture; the message names the
            tensor and both shapes. Or the options contradict the weights or one another.
    """
    path = Path(path)
    state = _read(path)
    options = _options(state, path, image_size)
    learned = options["out_channels"] == 2 * options["in_channels"]
    try:
        noise = noise_schedule(schedule, steps, predicts, betas, variance or default_variance(learned))
        check_variance(noise, learned)
        scale = PUBLISHED_STEPS / noise["num_train_timesteps"] if rescale_timesteps else 1.0
        with torch.device("meta"):  # the weights come from the file
            unet = ADMUNet(**options, num_head_channels=num_head_channels, time_scale=scale)
    except V4eggError as error:
        raise V4eggError(f"{path}: {error}") from error
    _compare(unet, state, path)
    unet.load_state_dict(state, assign=True)
    return frozen(Prior(unet, noise, patch_size=1), device, precision)


def _read(path: Path) -> dict[str, Tensor]:
    state = read_weights(path)
    if not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise V4eggError(f"{path}: contains no state dict (tensors by name); give the weights alone")
    return state


def _options(state: Mapping[str, Tensor], path: Path, image_size: int) -> dict[str, Any]:
    """The options of :class:`ADMUNet` that follow from the shapes of the tensors.

    A level has ``num_res_blocks + 1`` input blocks, the last of which resamples (the lowest level has one fewer, for
    which the very first block makes up), and as many output blocks. Each level but the lowest ends in an upsampling.
    """
    _, model_channels = _shape(state, "time_embed.0.weight", 2, path)
    _, in_channels, *_ = _shape(state, "input_blocks.0.0.weight", 4, path)
    out_channels, *_ = _shape(state, "out.2.weight", 4, path)
    if out_channels not in (in_channels, 2 * in_channels):
        raise V4eggError(
            f"{path}: tensor out.2.weight gives {out_channels} channels for images of {in_channels}, expected "
            f"{in_channels} or, with a learned variance, {2 * in_channels}; give an ADM network's weights"
        )
    upsamplers = [key for key in state if re.fullmatch(r"output_blocks\.\d+\.[12]\.(in_layers\.2|conv)\.weight", key)]
    levels = len(upsamplers) + 1
    blocks = len({key.split(".")[1] for key in state if key.startswith("input_blocks.")})
    if blocks % levels or blocks == levels:
        raise V4eggError(
            f"{path}: {blocks} input blocks for {levels} levels, expected 2 or more for each; "
            "give an ADM network's weights"
        )
    firsts = [1 + level * (blocks // levels) for level in range(levels)]
    widths = [_shape(state, f"input_blocks.{first}.0.in_layers.2.weight", 4, path)[0] for first in firsts]
    attended = [f"input_blocks.{first}.1.qkv.weight" in state for first in firsts]
    return {
        "sample_size": image_size,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "model_channels": model_channels,
        "channel_mult": [width / model_channels for width in widths],
        "num_res_blocks": blocks // levels - 1,
        "attention_resolutions": [image_size // 2**level for level in range(levels) if attended[level]],
    }


def _shape(state: Mapping[str, Tensor], key: str, dims: int, path: Path) -> tuple[int, ...]:
    shape = tuple(state[key].shape) if key in state else None
    if shape is None or len(shape) != dims or not all(shape):
        raise V4eggError(
            f"{path}: tensor {key} is {shape or 'missing'}, expected {dims} dims; give an ADM network's weights"
        )
    return shape


def _compare(unet: ADMUNet, state: Mapping[str, Tensor], path: Path) -> None:
    """Check that the tensors have the names and shapes of the network's; the error names the first that differs."""
    expected_shapes = {key: tuple(tensor.shape) for key, tensor in unet.state_dict().items()}
    actual_shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    for key in [*expected_shapes, *actual_shapes]:
        actual, expected = actual_shapes.get(key, "missing"), expected_shapes.get(key, "no such tensor")
        if actual != expected:
            raise V4eggError(
                f"{path}: tensor {key} is {actual}, expected {expected}; give weights of an unconditional ADM network "
                "with scale-shift norm and resampling residual blocks"
            )
