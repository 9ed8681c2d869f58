"""Probes are what their names say, at any size; tuning curves are the best responses along a parameter."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from v4egg.compact.probes import GREY, PARAMETERS, STIMULUS_CLASSES, probe_of, probe_table, render
from v4egg.compact.tuning import curve, responses_above_grey, table_of, tuning
from v4egg.errors import V4eggError
from v4egg.io import stores

TABLE = probe_table(places=3, samples=1)


def drawn(stimulus_class, size=56, **parameters):
    """The luminance (n, y, x) of all probes of a stimulus class with these parameters."""
    rows = TABLE[TABLE["stimulus_class"] == stimulus_class]
    for name, value in parameters.items():
        rows = rows[np.isclose(rows[name], value)]
    assert len(rows)
    return rows, render(rows, size).mean(1)


def test_names_are_unique_and_every_family_is_drawn_at_any_size():
    assert TABLE.index.is_unique
    assert set(TABLE["stimulus_class"]) == set(STIMULUS_CLASSES)
    chosen = TABLE.groupby("stimulus_class").sample(2, random_state=0, replace=True)
    for size in (28, 61):
        images = render(chosen, size)
        assert images.shape == (len(chosen), 3, size, size)
        assert images.min() >= 0
        assert images.max() <= 1
    assert torch.equal(render(TABLE.loc[["grey"]], 9), torch.full((1, 3, 9, 9), GREY))


@pytest.mark.parametrize("size", [56, 112])
def test_dots_have_their_area_place_and_polarity(size):
    rows, images = drawn("dot", size, polarity=-1, x=0.2)
    area = (0.5 - images).sum((1, 2)) / 0.5 / size**2
    np.testing.assert_allclose(area, np.pi / 4 * rows["size"] ** 2, rtol=0.15)
    line = (torch.arange(size) + 0.5) / size
    dark = GREY - images
    centre = (dark.sum(1) * line).sum(1) / dark.sum((1, 2)), (dark.sum(2) * line).sum(1) / dark.sum((1, 2))
    np.testing.assert_allclose(centre[0], rows["x"], atol=0.01)
    np.testing.assert_allclose(centre[1], rows["y"], atol=0.01)
    assert images.max() == GREY


def test_gratings_have_their_frequency_and_orientation():
    for orientation, frequency in ((0, 4), (90, 8), (45, 8)):
        _, images = drawn("grating", 64, orientation=orientation, frequency=frequency)
        power = torch.fft.fft2(images[0] - images[0].mean()).abs()
        fy, fx = np.unravel_index(int(power[:32].argmax()), (32, 64))
        fx = fx - 64 if fx > 32 else fx
        assert np.hypot(fx, fy) == pytest.approx(frequency, abs=0.6)
        assert np.rad2deg(np.arctan2(fy, fx)) % 180 == pytest.approx(orientation, abs=6)


def test_textures_lie_in_their_band_and_have_one_contrast():
    for orientation in (0.0, 67.5):
        _, images = drawn("texture", 64, orientation=orientation, frequency=8)
        power = (torch.fft.fft2(images[0] - images[0].mean()).abs() ** 2).numpy()
        cycles = np.fft.fftfreq(64, 1 / 64)
        radius, angle = np.hypot(cycles[:, None], cycles), np.rad2deg(np.arctan2(cycles[:, None], cycles))
        away = np.abs((angle - orientation + 90) % 180 - 90)
        inside = (radius > 4) & (radius < 16) & (away < 40)
        assert power[inside].sum() > 0.9 * power.sum()
        assert images.std() == pytest.approx(0.2, abs=0.02)


def test_contours_bend_edges_divide_and_colours_are_hues():
    rows, images = drawn("contour", 112, polarity=1, x=0.5, y=0.5, orientation=0)
    straight, curved = (images[np.flatnonzero(rows["curvature"] == bent)[0]] for bent in (0, 10))
    tall = [(image > 0.75).any(1).sum() for image in (straight, curved)]
    assert tall[1] > tall[0] + 2  # an arc leaves the line
    assert (straight > 0.75).sum() == pytest.approx(float((curved > 0.75).sum()), rel=0.15)
    _, edges = drawn("edge", 56, orientation=0, x=0.5)
    assert edges[0][:, :27].min() == 1
    assert edges[0][:, 29:].max() == 0
    whole = TABLE[(TABLE["stimulus_class"] == "colour") & (TABLE["size"] == 2)]
    for hue, rgb in ((0, (1, 0, 0)), (120, (0, 1, 0)), (60, (1, 1, 0)), (240, (0, 0, 1))):
        assert render(whole[whole["hue"] == hue], 4)[0, :, 0, 0].tolist() == pytest.approx(rgb)


class Brightness(nn.Module):
    """Two units: mean luminance, and its negative."""

    units = ("s1-u000", "s1-u001")

    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return torch.stack([mean, -mean], 1) + 3


def test_tuning_is_stored_and_its_curves_follow_the_parameter(tmp_path):
    stores.save(tuning(Brightness(), TABLE, 56), tmp_path / "t.zarr", "tuning")
    found = stores.load(tmp_path / "t.zarr", "tuning")
    assert table_of(found)[list(PARAMETERS)].equals(TABLE[list(PARAMETERS)])
    assert responses_above_grey(found)[:, list(found["stimulus_class"].values).index("grey")].tolist() == [0, 0]
    sizes = curve(found, "dot", ["size"])
    for unit in Brightness.units:  # white dots excite the one and black ones the other
        values = sizes[sizes["unit"] == unit]["response"].to_numpy()
        np.testing.assert_allclose(values, 0.5 * np.pi / 4 * np.unique(TABLE["size"].dropna())[:6] ** 2, rtol=0.2)
    signed = curve(found, "dot", ["polarity", "size"]).set_index(["unit", "polarity", "size"])["response"]
    assert signed[("s1-u000", -1.0, 0.35)] < 0 < signed[("s1-u001", -1.0, 0.35)]


def test_names_tell_what_a_probe_is():
    names = list(TABLE.sample(40, random_state=0).index)
    pd.testing.assert_frame_equal(probe_of(names), TABLE.loc[names])
    with pytest.raises(V4eggError, match="'dot-weight3' is not the name of a probe"):
        probe_of(["dot-weight3"])


def test_what_cannot_be_probed_is_one_line():
    with pytest.raises(V4eggError, match="no probe of stimulus class grey"):
        tuning(Brightness(), TABLE.iloc[1:4], 8)
    with pytest.raises(V4eggError, match="unknown stimulus class 'face'; known: grey, dot"):
        render(TABLE.iloc[:1].assign(stimulus_class="face"), 8)
    with pytest.raises(V4eggError, match="no probe of stimulus class 'dot' has hue"):
        curve(tuning(Brightness(), TABLE.iloc[:4], 8), "dot", ["hue"])
