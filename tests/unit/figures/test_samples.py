"""Samples of the prior: statistics that tell them from crops, and what equal sets would give."""

import numpy as np
import pytest

from figure_stores import draw, rendered, save_samples, texts
from v4egg.figures import samples
from v4egg.images.statistics import spectrum_slope
from v4egg.io import stores


def test_the_table_tells_noise_from_smoother_crops(tmp_path):
    path = save_samples(tmp_path / "samples.zarr")
    table = samples.table(path)
    slopes = spectrum_slope(stores.load(path)["sample"].values)
    found = table.query("set == 'sample' and measure == 'spectrum_slope'")
    assert np.allclose(found.query("statistic == 'image'")["value"], slopes)
    assert found.query("statistic == 'median'")["value"].item() == pytest.approx(np.median(slopes))
    numbers = table.query("set == 'sample'").set_index(["measure", "statistic"])["value"]
    assert numbers["spectrum_slope", "ks_p"] < 0.01
    assert numbers["frechet_distance", "to_crops"] > 2 * numbers["frechet_distance", "between_crops"]
    assert len(table.query("set == 'crop' and measure == 'power' and statistic == 'mean'")) == 8


@pytest.mark.parametrize(("n", "channels"), [(30, 3), (2, 1)])
def test_the_figure_shows_as_many_of_both(tmp_path, n, channels):
    figure = rendered(draw(samples, save_samples(tmp_path / "samples.zarr", n, channels=channels)))
    shown = sum(bool(axes.images) for axes in figure.axes)
    assert shown == min(n, 24) + min(2 * n, 24)
    assert {"samples", "crops", "samples\nto crops"} <= set(texts(figure))
