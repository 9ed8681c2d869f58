"""A simulated V4 population: fixed and differentiable neurons whose true responses are available for comparison.

The cascade follows the standard model of the ventral stream: luminance and two colour-opponent channels, quadrature
Gabor filters with complex-cell energy (Adelson & Bergen 1985), divisive normalisation (Heeger 1992), V4 units as soft
conjunctions of V1 channels at fixed relative positions (similar to Cadieu et al. 2007) that tolerate displacement, and
a threshold, power and saturation at the output. :mod:`v4egg.simulation.wiring` draws the inputs of each unit.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from v4egg.errors import V4eggError
from v4egg.images.photographs import photograph_crops
from v4egg.images.processing import resize
from v4egg.io import stores
from v4egg.seeding import numpy_generator
from v4egg.simulation import wiring

REFERENCE_CROPS = 1000
MIN_IMAGE_SIZE = 40
_BATCH = 100
_BLOCK = 4  # px per side; see _filtered
_GRID = 28  # V1 is sampled at no fewer positions per side: 2.5 per cycle of the finest filters
_CONTRAST_HALF = 0.5  # semi-saturation of the normalisation, in rms contrasts of natural images
_LEAK = 0.05  # a conjunction without one of its parts is weak instead of zero, so that it has a gradient
_TOLERANCE_POWER = 4.0  # of the power mean over displacements: between the mean (1) and the maximum (infinity)
_HEADROOM = 1.5  # half-saturation relative to the drive of the best reference crop: at most 2.5 times its response
_CALIBRATED = ("drive_scale", "threshold", "softness", "exponent", "half_saturation", "gain", "baseline")


class SimulatedBrain(nn.Module):
    """Expected spike counts of simulated V4 units.

    Unit ``i`` depends on ``seed``, ``image_size`` and ``i``, not on ``n_units``. Everything drawn or calibrated is a
    buffer, so that the state dict describes the brain completely.

    Args:
        n_units: number of units.
        image_size: side in px to which images are resized before the first filter.
        seed: determines everything that differs between units.
        session: prefix of the unit ids in :attr:`units`, which equal those that ``read_nwb`` gives the recorded units.
        calibrate: whether to fit scales, thresholds and gains on reference crops; False if a state dict is loaded next.

    Attributes:
        units: the unit ids.

    Raises:
        V4eggError: there are no units, or the image size is below 40 px.

    Example:
        >>> brain = SimulatedBrain(3, image_size=40, seed=0, session="sim01", calibrate=False)
        >>> brain.units
        ['sim01-u000', 'sim01-u001', 'sim01-u002']
        >>> brain(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 3])
    """

    luminance_filters: torch.Tensor
    colour_filter: torch.Tensor
    octave_filter: torch.Tensor
    contrast_scale: torch.Tensor
    neighbourhood: torch.Tensor
    channel_weights: torch.Tensor
    part_exponents: torch.Tensor
    suppression: torch.Tensor
    profile_x: torch.Tensor
    profile_y: torch.Tensor
    position_weights: torch.Tensor
    drive_scale: torch.Tensor
    threshold: torch.Tensor
    softness: torch.Tensor
    exponent: torch.Tensor
    half_saturation: torch.Tensor
    gain: torch.Tensor
    baseline: torch.Tensor

    def __init__(self, n_units: int, image_size: int, seed: int, session: str = "simulated", *, calibrate: bool = True):
        super().__init__()
        if n_units < 1 or image_size < MIN_IMAGE_SIZE:
            raise V4eggError(
                f"a simulated brain of {n_units} units at {image_size} px is impossible; "
                f"give n_units of at least 1 and image_size of at least {MIN_IMAGE_SIZE}"
            )
        self.image_size, self.seed, self.session = image_size, seed, session
        self.units = [f"{session}-u{i:03d}" for i in range(n_units)]
        self.stride = 2 * max(1, image_size // (2 * _GRID))
        self._register_v1()
        self._register_v4([wiring.draw_unit(seed, i) for i in range(n_units)])
        if calibrate:
            self._calibrate()

    def forward(self, images: torch.Tensor, units: torch.Tensor | None = None) -> torch.Tensor:
        """Compute expected spike counts in the count window.

        Args:
            images: (batch, 3, y, x), RGB in [0, 1], of any size.
            units: indices (unit,) of the units; None: all.

        Returns:
            (batch, unit), spikes per window.
        """
        index = torch.arange(len(self.units), device=images.device) if units is None else units
        return self._output(self._drive(self._v1(images), index), index)

    def paired(self, images: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
        """Compute the expected spike count of one unit per image.

        Args:
            images: (batch, 3, y, x), RGB in [0, 1], of any size.
            units: indices (batch,), the unit of each image.

        Returns:
            (batch,), spikes per window.
        """
        v1 = self._v1(images)
        parts = torch.bmm(self.channel_weights[units], v1.flatten(2)).unflatten(2, v1.shape[2:])
        return self._output(self._conjunction(parts, units), units)

    def constructor(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as attributes of the store with the state dict."""
        return {
            "n_units": len(self.units),
            "image_size": self.image_size,
            "brain_seed": self.seed,
            "session": self.session,
        }

    def _register_v1(self) -> None:
        self.register_buffer("luminance_filters", _luminance_filters(wiring.WAVELENGTHS[0] * self.image_size))
        self.register_buffer("colour_filter", _colour_filter(wiring.WAVELENGTHS[0] * self.image_size))
        binomial = np.array([1, 4, 6, 4, 1]) / 16
        self.register_buffer("octave_filter", _float(np.outer(binomial, binomial))[None, None])
        self.register_buffer("contrast_scale", torch.ones(len(wiring.WAVELENGTHS), 4))
        sd = 0.5 * wiring.WAVELENGTHS[-1] * self.image_size / self.stride
        blur = np.exp(-0.5 * (np.arange(-round(2 * sd), round(2 * sd) + 1) / sd) ** 2)
        self.register_buffer("neighbourhood", _float(np.outer(blur, blur) / blur.sum() ** 2)[None, None])

    def _register_v4(self, units: list[wiring.Unit]) -> None:
        self.register_buffer("channel_weights", _float([unit.weights for unit in units]))
        self.register_buffer("part_exponents", _float([unit.exponents for unit in units]))
        self.register_buffer("suppression", _float([unit.suppression for unit in units]))
        places = (np.arange(0, self.image_size, self.stride) + 0.5) / self.image_size
        for axis, name in enumerate(("profile_x", "profile_y")):
            self.register_buffer(name, _float([_profiles(unit, axis, places) for unit in units]))
        window = np.exp(-(np.linspace(-1, 1, wiring.POSITIONS) ** 2))
        self.register_buffer("position_weights", _float(np.outer(window, window) / window.sum() ** 2))
        for name in _CALIBRATED:
            self.register_buffer(name, torch.ones(len(units)))

    def _contrasts(self, images: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        """For each scale: even and odd (B, orientation, y, x), spot (B, 1, y, x) and colour (B, 2, y, x) contrasts."""
        fine = _opponent(resize(images, self.image_size))
        # an octave lower: the same filters on half the pixels
        coarse = _filtered(fine, self.octave_filter, 2).squeeze(2)
        results: list[tuple[torch.Tensor, ...]] = []
        for maps, stride, scale in zip(
            (fine, coarse), (self.stride, self.stride // 2), self.contrast_scale, strict=True
        ):
            luminance = _filtered(maps[:, :1], self.luminance_filters, stride).squeeze(1)
            even, odd, spot = luminance.split((wiring.ORIENTATIONS, wiring.ORIENTATIONS, 1), dim=1)
            colour = _filtered(maps[:, 1:], self.colour_filter, stride).squeeze(2)
            results.append((even / scale[0], odd / scale[0], spot / scale[1], colour / scale[2:, None, None]))
        return results

    def _v1(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised V1 responses (B, channel, grid, grid), channels in the order of :func:`wiring.channel`."""
        drives, pools = [], []
        for even, odd, spot, colour in self._contrasts(images):
            energy = even**2 + odd**2
            opposed = [torch.cat((part, -part), dim=1) for part in (even, odd, spot, colour[:, :1], colour[:, 1:])]
            drives += [torch.sqrt(energy + 1e-4), *map(_rectified, opposed)]
            pools.append(energy.mean(dim=1, keepdim=True) + 0.5 * (colour**2).mean(dim=1, keepdim=True))
        pool = self._blurred(torch.stack(pools).mean(dim=0))
        return torch.cat(drives, dim=1) * torch.rsqrt(_CONTRAST_HALF**2 + pool)

    def _blurred(self, maps: torch.Tensor) -> torch.Tensor:
        return _filtered(maps, self.neighbourhood, 1).squeeze(2)

    def _drive(self, v1: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Drive (B, U) of V4 units before the output nonlinearity."""
        weights = self.channel_weights[index]
        parts = torch.matmul(weights.flatten(0, 1), v1.flatten(2))
        return self._conjunction(parts.unflatten(2, v1.shape[2:]).unflatten(1, weights.shape[:2]), index)

    def _conjunction(self, parts: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Pooled drive (..., unit) of parts (..., unit, part, y, x)."""
        rows = torch.einsum("...kyx,...kpx->...kyp", parts, self.profile_x[index])
        places = torch.einsum("...kyp,...kqy->...kqp", rows, self.profile_y[index])
        exponents = self.part_exponents[index][..., None, None]
        product = (exponents * torch.log(places[..., : wiring.PARTS, :, :] + _LEAK)).sum(dim=-3).exp()
        drive = product / (1 + self.suppression[index][..., None, None] * places[..., wiring.PARTS, :, :])
        mean_power = (self.position_weights * drive**_TOLERANCE_POWER).sum(dim=(-2, -1))
        return mean_power ** (1 / _TOLERANCE_POWER)

    def _output(self, drive: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Expected counts: softplus threshold, power, saturation, gain, baseline."""
        above = drive / self.drive_scale[index] - self.threshold[index]
        power = _thresholded(above, self.softness[index]) ** self.exponent[index]
        return self.baseline[index] + self.gain[index] * power / (1 + power / self.half_saturation[index])

    @torch.no_grad()
    def _calibrate(self) -> None:
        """Set contrast scales, then thresholds, exponents and gains, on crops that no test image overlaps."""
        crops, _ = photograph_crops(REFERENCE_CROPS, self.image_size, "fit", "simulated brain reference")
        batches = (torch.from_numpy(crops).float() / 255).split(_BATCH)
        squares = torch.zeros_like(self.contrast_scale)
        for batch in batches[:2]:
            for i, (even, odd, spot, colour) in enumerate(self._contrasts(batch)):
                means = [(even**2 + odd**2).mean(), (spot**2).mean(), *(colour**2).mean(dim=(0, 2, 3))]
                squares[i] += torch.stack(means) / 2
        self.contrast_scale.copy_(squares.sqrt())
        index = torch.arange(len(self.units))
        drives = torch.cat([self._drive(self._v1(batch), index) for batch in batches]).double().numpy()
        for i in range(len(self.units)):
            for name, value in _calibrated(
                drives[:, i], numpy_generator("simulated brain output", self.seed, i)
            ).items():
                getattr(self, name)[i] = value


def save_brain(brain: SimulatedBrain, path: str | Path, **provenance: Any) -> None:
    """Write a brain to a store of kind ``weights``.

    Args:
        brain: the brain.
        path: the Zarr store to write.
        provenance: ``config``, ``seed`` and ``inputs`` of :func:`v4egg.io.stores.save`.
    """
    stores.save_weights(brain.state_dict(), path, attrs=brain.constructor(), **provenance)


def load_brain(path: str | Path) -> SimulatedBrain:
    """Load a brain from a store of kind ``weights``, frozen and exactly as it was saved.

    Raises:
        V4eggError: there is no complete store, or its weights are not those of a simulated brain.
    """
    state, attrs = stores.load_weights(path)
    names = ("n_units", "image_size", "brain_seed", "session")
    if not all(name in attrs for name in names):
        raise V4eggError(
            f"{path}: the weights are not those of a simulated brain; give the store that the simulation wrote"
        )
    brain = SimulatedBrain(*(attrs[name] for name in names), calibrate=False)
    try:
        brain.load_state_dict(state)
    except RuntimeError as error:
        raise V4eggError(
            f"{path}: a simulated brain of another version ({error}); simulate the session again"
        ) from error
    return brain.eval().requires_grad_(False)


def _calibrated(drive: np.ndarray, generator: np.random.Generator) -> dict[str, float]:
    """The output nonlinearity of a unit with these drives (crop,), for a random mean count and sparseness.

    The exponent is such that the response to the best crop is a random multiple of the mean count.
    """
    mean_count, silence, silent_share = (
        generator.uniform(1.5, 4.5),
        generator.uniform(0.05, 0.2),
        generator.uniform(0.2, 0.6),
    )
    peak = generator.uniform(4.5, 9.0)
    scaled = drive / drive.mean()
    threshold, softness = np.quantile(scaled, silent_share), 0.3 * scaled.std()
    above = softness * np.logaddexp(0, (scaled - threshold) / softness)

    def response(exponent: float) -> np.ndarray:
        power = (above / above.max()) ** exponent
        return power / (1 + power / _HEADROOM)

    def excess(exponent: float) -> float:
        driven = response(exponent)
        return silence + (1 - silence) * driven.max() / driven.mean() - peak

    low, high = 0.3, 12.0
    from scipy.optimize import brentq  # takes half a second to import, and only calibration needs it

    exponent = low if excess(low) > 0 else high if excess(high) < 0 else brentq(excess, low, high)
    scale = above.max() ** exponent  # `response` works on drives over their maximum
    return {
        "drive_scale": drive.mean(),
        "threshold": threshold,
        "softness": softness,
        "exponent": exponent,
        "half_saturation": _HEADROOM * scale,
        "gain": (1 - silence) * mean_count / response(exponent).mean() / scale,
        "baseline": silence * mean_count,
    }


def _thresholded(above: torch.Tensor, softness: torch.Tensor) -> torch.Tensor:
    return softness * F.softplus(above / softness)


def _rectified(signal: torch.Tensor) -> torch.Tensor:
    """A smooth half-wave rectification."""
    return F.softplus(signal, beta=6)


def _filtered(maps: torch.Tensor, filters: torch.Tensor, stride: int) -> torch.Tensor:
    """Each of the maps (B, map, y, x) correlated with each filter (filter, 1, side, side), every ``stride`` px.

    Returns (B, map, filter, y / stride, x / stride). Blocks of pixels become channels, and shifted filters compute
    blocks of the result: the same sums, whose gradient is several times faster than that of a one-channel convolution.
    """
    shifts = range(max(1, _BLOCK // stride))
    block, taps = stride * len(shifts), filters.shape[-1]
    side = -(-(taps + block - stride) // block) * block
    margins = [(stride * shift, side - taps - stride * shift) for shift in shifts]
    kernels = torch.stack([F.pad(filters, (*left, *top)) for top in margins for left in margins], dim=1).flatten(0, 1)
    padded = F.pad(maps.flatten(0, 1)[:, None], (taps // 2,) * 4, mode="reflect")
    missing = [(-(-size // block) - 1) * block + side - size - 2 * (taps // 2) for size in maps.shape[-2:]]
    blocks = F.conv2d(
        F.pixel_unshuffle(F.pad(padded, (0, missing[1], 0, missing[0])), block), F.pixel_unshuffle(kernels, block)
    )
    height, width = (-(-size // stride) for size in maps.shape[-2:])
    return F.pixel_shuffle(blocks, len(shifts))[..., :height, :width].unflatten(0, maps.shape[:2])


def _opponent(images: torch.Tensor) -> torch.Tensor:
    """Luminance (Rec. 601), red against green, yellow against blue: (B, 3, y, x)."""
    red, green, blue = images.unbind(dim=1)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack((luminance, red - green, (red + green) / 2 - blue), dim=1)


def _luminance_filters(wavelength: float) -> torch.Tensor:
    """Even and odd Gabors and a centre-surround filter of one wavelength in px: (2 orientations + 1, 1, side, side)."""
    across, along = 0.4 * wavelength, 0.6 * wavelength
    radius = round(2 * along)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(float)
    even, odd = [], []
    for angle in np.arange(wiring.ORIENTATIONS) * np.pi / wiring.ORIENTATIONS:
        u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        envelope = np.exp(-0.5 * ((u / across) ** 2 + (v / along) ** 2))
        cosine, sine = np.cos(2 * np.pi * u / wavelength), np.sin(2 * np.pi * u / wavelength)
        balanced = envelope * (cosine - (envelope * cosine).sum() / envelope.sum())
        even.append(balanced / np.abs((balanced * cosine).sum()))
        odd.append(envelope * sine / (envelope * sine**2).sum())
    centre, surround = (np.exp(-0.5 * (x**2 + y**2) / sd**2) for sd in (0.25 * wavelength, 0.5 * wavelength))
    spot = centre / centre.sum() - surround / surround.sum()
    return _float([*even, *odd, spot])[:, None]


def _colour_filter(wavelength: float) -> torch.Tensor:
    """A Gaussian for the colour-opponent channels: (1, 1, side, side)."""
    sd = 0.3 * wavelength
    offsets = np.arange(-round(2.5 * sd), round(2.5 * sd) + 1)
    profile = np.exp(-0.5 * (offsets / sd) ** 2)
    kernel = np.outer(profile, profile) / profile.sum() ** 2
    return _float(kernel)[None, None]


def _profiles(unit: wiring.Unit, axis: int, places: np.ndarray) -> np.ndarray:
    """Gaussian weights (part, displacement, place) along one axis of the image."""
    displacements = unit.tolerance * np.linspace(-1, 1, wiring.POSITIONS)
    middles = unit.centre[axis] + unit.offsets[:, axis, None] + displacements
    sd = unit.spreads[:, None, None]
    density = np.exp(-0.5 * ((places - middles[..., None]) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    weights: np.ndarray = density * (places[1] - places[0])
    return weights


def _float(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.asarray(values), dtype=np.float32))
