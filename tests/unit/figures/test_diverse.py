"""Invariances: diversity against its definition, and the curve along it."""

import numpy as np
import pytest

from figure_stores import draw, rendered, save_judged, save_series, texts
from v4egg.evaluation.tables.diverse import diversity
from v4egg.figures import diverse
from v4egg.io import stores


def arguments(folder, archs=("attention", "task_driven"), **sizes):
    paths = [save_series(folder / f"{arch}.zarr", "diverse", arch, samples=3, **sizes) for arch in archs]
    return paths, save_judged(folder / "judged.zarr", samples=3, archs=archs, **sizes)


def test_diversity_is_one_minus_the_mean_correlation():
    images = np.random.default_rng(0).random((3, 3, 5, 5))
    pairs = np.corrcoef(images.reshape(3, -1))[np.triu_indices(3, 1)]
    assert diversity(images) == pytest.approx(1 - pairs.mean())
    assert diversity(np.stack([images[0], 0.5 * images[0] + 0.1])) == pytest.approx(0)
    assert diversity(np.stack([images[0], 1 - images[0]])) == pytest.approx(2)
    assert np.isnan(diversity(np.stack([images[0], np.full((3, 5, 5), 0.5)])))


def test_the_table_holds_diversity_and_what_it_costs(tmp_path):
    paths, judged = arguments(tmp_path)
    table = diverse.table(paths, judged)
    median = table.query("arch == 'attention' and measure == 'diversity' and statistic == 'median'").set_index("weight")
    assert median["value"][0] == pytest.approx(0, abs=1e-5)
    assert median["value"][1] < median["value"][10]
    values = stores.load(judged, "judged")["activation"].sel(arch="attention", judge="across").mean("sample").load()
    expected = (values.sel(setting=10) / values.sel(setting=0)).values
    found = table.query("arch == 'attention' and judge == 'across' and measure == 'response_retained' and weight == 10")
    assert np.allclose(found.query("statistic == 'unit'")["value"], expected, rtol=1e-5)
    assert found.query("statistic == 'median'")["value"].item() == pytest.approx(np.median(expected), rel=1e-5)


def test_the_figure_shows_units_side_by_side_and_all_judges(tmp_path):
    figure = rendered(draw(diverse, *arguments(tmp_path)))
    shown = texts(figure)
    assert {"weight 0", "weight 10", "s\nu000", "s\nu003", "generators (shares weights)", "across"} <= set(shown)
    assert sum(bool(axes.images) for axes in figure.axes) == 3 * 12


def test_one_unit_of_one_architecture(tmp_path):
    figure = rendered(draw(diverse, *arguments(tmp_path, ("attention",), n_units=1)))
    assert sum(bool(axes.images) for axes in figure.axes) == 3 * 3
