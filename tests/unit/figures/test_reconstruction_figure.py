"""Reconstructions: distances relative to chance, the paired test, and images beside their target."""

import numpy as np
import pytest

from figure_stores import draw, rendered, save_reconstruction, save_reconstruction_scores, texts
from v4egg.figures import reconstruction
from v4egg.io import stores
from v4egg.stats.inference import paired_wilcoxon


@pytest.fixture
def arguments(tmp_path):
    return [save_reconstruction(tmp_path / "made.zarr")], save_reconstruction_scores(tmp_path / "scores.zarr")


def test_the_table_against_the_scores(arguments):
    table = reconstruction.table(*arguments)
    distance = stores.load(arguments[1])["distance"].sel(arch="attention", source="recorded", judge="across").load()
    guided, descent, other = distance.values
    here = table.query("source == 'recorded' and judge == 'across'")
    raw = here.query("measure == 'response_distance' and method == 'energy_guided'")
    assert np.allclose(raw.query("statistic == 'image'")["value"], guided)
    numbers = raw.set_index("statistic")["value"]
    assert numbers["n_lower"] == (guided < descent).sum()
    assert numbers["n_images"] == 5
    assert numbers["wilcoxon_p"] == pytest.approx(paired_wilcoxon(guided, descent).p_value)
    relative = here.query("measure == 'distance_over_chance' and method == 'gradient_descent' and statistic == 'image'")
    assert np.allclose(relative["value"], descent / other.mean(), rtol=1e-5)
    assert set(table["measure"]) >= {"ssim", "pixel_correlation", "feature_distance", "training_error", "evaluations"}
    assert not here["shares_weights"].astype(bool).any()


def test_the_figure_shows_targets_beside_reconstructions(arguments):
    figure = rendered(draw(reconstruction, *arguments))
    shown = texts(figure)
    assert {"true image", "energy-guided\n(recorded)", "gradient descent\n(predicted)"} <= set(shown)
    assert sum(bool(axes.images) for axes in figure.axes) == 5 * 5
    true = stores.load(arguments[0][0])["true"].values
    first = next(axes for axes in figure.axes if axes.images)
    assert np.allclose(first.images[0].get_array(), np.moveaxis(true[0], 0, -1))
    assert "attention, recorded responses" in shown


def test_one_image_has_no_chance_level_and_a_lone_judge(tmp_path):
    made = save_reconstruction(tmp_path / "made.zarr", n=1, channels=1)
    scores = stores.load(save_reconstruction_scores(tmp_path / "scores.zarr", n=1, judges=("generators",))).load()
    scores["distance"][:, :, 2] = np.nan
    scores["similarity"][:, :, :, 2] = np.nan
    stores.save(scores.drop_attrs(), tmp_path / "alone.zarr", "reconstruction_scores")
    rendered(draw(reconstruction, [made], tmp_path / "alone.zarr"))
    table = reconstruction.table([made], tmp_path / "alone.zarr")
    assert not table["measure"].eq("distance_over_chance").any()
    assert table["measure"].eq("response_distance").any()
