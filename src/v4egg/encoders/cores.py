"""Cores: from z-scored images (B, C, y, x) to a feature map (B, channels, h, w) shared by all units."""

from torch import Tensor, nn

from v4egg.errors import V4eggError


class _Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(features + self.body(features))


class ResidualCore(nn.Sequential):
    """A data-driven convolutional core that is fast on a CPU: two reductions of the image, then residual blocks.

    A 56 px image becomes a 14 x 14 map. Three choices are for speed in bf16 on a CPU: the first reduction folds 2x2
    pixels into channels (a strided convolution of 3 channels is slow), convolutions are ordinary (depthwise ones gain
    nothing), and units rectify (an exponential costs more than the convolution before it).
    """

    def __init__(self, in_channels: int = 3, channels: int = 64, blocks: int = 2, first_kernel: int = 5):
        super().__init__(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * in_channels, channels, first_kernel, padding=first_kernel // 2, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            *(_Residual(channels) for _ in range(blocks)),
        )
        self.channels = channels


CORES = {"residual": ResidualCore}


def make_core(name: str, in_channels: int, **options) -> nn.Module:
    """The core of that name.

    Raises:
        V4eggError: no core has that name, or it does not take an option.
    """
    if name not in CORES:
        raise V4eggError(f"encoders: unknown core '{name}'; known: {', '.join(sorted(CORES))}")
    try:
        return CORES[name](in_channels=in_channels, **options)
    except TypeError as error:
        raise V4eggError(f"encoders: core '{name}': {error}; correct its options") from error
