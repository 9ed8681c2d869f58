"""The ADM prior: OpenAI's guided-diffusion network (Dhariwal & Nichol 2021), from a state dict that the user brings.

EGG's published prior is the unconditional 256 px one (``256x256_diffusion_uncond.pt``, 552.8 M parameters). Parameter
names are those of its state dict. Supported is the family of that file: no classes, scale-shift norm, residual blocks
that resample, attention whose queries, keys and values lie together head by head.
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

GROUPS = 32  # of every group norm
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "prediction_type": "epsilon",
    "timestep_spacing": "linspace",  # 50 steps are 0, 20, 41, 61, ..., 999
    "clip_sample": False,
}


class ADMUNet(ModelMixin, ConfigMixin):
    """The network: noisy images (B, in_channels, y, x) and a time step to (B, out_channels, y, x).

    Args:
        sample_size: side of the images in pixels.
        in_channels: channels of the images.
        out_channels: those of the noise, then as many again of the variance where that is learned.
        model_channels: the width that ``channel_mult`` multiplies.
        channel_mult: a level's width, from full resolution down; each level has half the pixels of the one before.
        num_res_blocks: residual blocks a level.
        attention_resolutions: sides in pixels of the levels that have attention.
        num_head_channels: channels of one attention head.

    Raises:
        V4eggError: the numbers do not divide as they must.
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
        """The noise in ``sample`` at one time step or at one an image, and the variance where that is learned."""
        times = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
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

    def _run(self, stage: "_Stage", features: Tensor, embedding: Tensor) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(stage, features, embedding)
        return stage(features, embedding)


class _Stage(nn.Sequential):
    """Layers in a row, of which the residual blocks also see the embedded time step."""

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
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
        # the third is where training has its dropout: it holds the place in the numbering
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
    device: str = "cpu",
    precision: torch.dtype = torch.float32,
) -> Prior:
    """The ADM prior of a state dict: frozen, in evaluation mode, with the linear schedule of its training.

    Widths, levels, blocks, attention, channels and whether the variance is learned are read off the tensors. The two
    numbers that no tensor shows must be those of the training; by default, those of the published 256 px network.

    Args:
        path: a torch file or a ``.safetensors`` file.
        image_size: side of the images in pixels.
        num_head_channels: channels of one attention head.
        precision: of the weights. Clean images amplify the noise's rounding by up to 157 (1 / sqrt(abar_999)).

    Raises:
        V4eggError: no such file, a damaged one, or weights of another architecture; names the key and both shapes.
    """
    path = Path(path)
    state = _read(path)
    options = _options(state, path, image_size)
    try:
        with torch.device("meta"):  # the weights come from the file
            unet = ADMUNet(**options, num_head_channels=num_head_channels)
    except V4eggError as error:
        raise V4eggError(f"{path}: {error}") from error
    _compare(unet, state, path)
    unet.load_state_dict(state, assign=True)
    learned = unet.config.out_channels == 2 * unet.config.in_channels
    schedule = SCHEDULE | {"variance_type": "learned_range" if learned else "fixed_large"}
    return frozen(Prior(unet, schedule, patch_size=1), device, precision)


def _read(path: Path) -> dict[str, Tensor]:
    state = read_weights(path)
    if not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise V4eggError(f"{path}: contains no state dict (tensors by name); give the weights alone")
    return state


def _options(state: Mapping[str, Tensor], path: Path, image_size: int) -> dict[str, Any]:
    """The options of :class:`ADMUNet` that the tensors show.

    A level has ``num_res_blocks + 1`` input blocks (the last resamples; the first of all stands in for the lowest
    level's) and as many output blocks; each level but the lowest is entered by an upsampling layer behind a block.
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
    found = tuple(state[key].shape) if key in state else None
    if found is None or len(found) != dims or not all(found):
        raise V4eggError(
            f"{path}: tensor {key} is {found or 'missing'}, expected {dims} dims; give an ADM network's weights"
        )
    return found


def _compare(unet: ADMUNet, state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are not, tensor by tensor, those of the network; names the first that differs."""
    wanted = {key: tuple(tensor.shape) for key, tensor in unet.state_dict().items()}
    given = {key: tuple(tensor.shape) for key, tensor in state.items()}
    for key in [*wanted, *given]:
        have, want = given.get(key, "missing"), wanted.get(key, "no such tensor")
        if have != want:
            raise V4eggError(
                f"{path}: tensor {key} is {have}, expected {want}; give weights of an unconditional ADM network with "
                "scale-shift norm and resampling residual blocks"
            )
