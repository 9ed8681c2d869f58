"""Transfer: the right numbers, and methods, units and scales that are missing."""

import numpy as np
import pytest

from figure_stores import METHODS, draw, rendered, save_transfer, texts
from v4egg.errors import V4eggError
from v4egg.figures import style, transfer_scatter
from v4egg.io import stores
from v4egg.stats.inference import huber_slope, paired_wilcoxon


def test_transfer_table_against_the_metrics(arguments):
    path = arguments["transfer_scatter"][0]
    table = transfer_scatter.table(path)
    judged = stores.load(path, "transfer").load()
    own = judged["activation"].sel(arch="attention", judge="generators")
    z = judged["zscore"].sel(arch="attention", judge="across")
    picked = {
        method: z.sel({"method": method}).isel(sample=own.sel({"method": method}).argmax("sample")).values
        for method in METHODS[:2]
    }
    found = table.query("arch == 'attention' and judge == 'across' and measure == 'zscore'")
    assert not found["shares_weights"].any()
    units = found[found["statistic"] == "unit"]
    for method, values in picked.items():
        assert np.allclose(units.loc[units["method"] == method, "value"], values)
    between = table.query("arch == 'attention' and judge == 'across' and against == 'gradient_ascent'")
    relative = between[between["measure"] == "normalized_activation"].set_index("statistic")["value"]
    x, y = ((picked[method] + 1) / 3 for method in METHODS[:2])
    assert relative["slope"] == pytest.approx(huber_slope(x, y))
    assert relative["p_value"] == pytest.approx(paired_wilcoxon(y, x).p_value)
    assert relative["share_won"] == (y > x).mean()
    assert relative["n"] == 6
    assert set(between["method"]) == {"energy_guided"}
    assert table.query("judge == 'generators'")["shares_weights"].all()


def test_transfer_panels_name_judges_and_statistics(arguments):
    path = arguments["transfer_scatter"][0]
    shown = texts(draw(transfer_scatter, path))
    numbers = transfer_scatter.table(path)
    won = numbers.query("statistic == 'n_won' and measure == 'zscore'")["value"].astype(int)
    assert len(won) == 2 * 3
    assert any("generators\n(shares weights)" in text for text in shown)
    assert any("generators\n(shares\nweights)" in text for text in shown)
    assert any("published compact models\n(independent)" in text for text in shown)
    assert all(any(f"{n}/6 above" in text for text in shown) for n in won)


def test_all_scales_show_medians_with_n_and_interval(arguments):
    path = arguments["transfer_scatter"][0]
    figure = draw(transfer_scatter, path)
    over = transfer_scatter.table(path).query(
        "statistic == 'median' and method == 'energy_guided' and arch == 'attention'"
    )
    panels = figure.subfigs[-1].axes[::2]
    assert len(panels) == 3
    for axes, scale in zip(panels, transfer_scatter._SCALES, strict=True):
        shown = texts(axes)
        medians = over[over["measure"] == scale]["value"]
        assert len(medians) == 3
        assert all(style.number(median) in shown for median in medians)
        assert shown.count("n = 6") == 3
        low, high = (
            transfer_scatter.table(path)
            .query(
                f"statistic == '{name}' and measure == '{scale}' and judge == 'across' and method == 'energy_guided' "
                "and arch == 'attention' and against == ''"
            )["value"]
            .item()
            for name in ("low", "high")
        )
        assert any(list(line.get_ydata()) == [low, high] for line in axes.lines)


@pytest.mark.parametrize("n_units", [1, 2])
def test_transfer_of_hardly_any_units(tmp_path, n_units):
    path = save_transfer(tmp_path / "t.zarr", n_units, 1, ("attention",), judges=())
    assert any(f"/{n_units} above" in text for text in texts(rendered(draw(transfer_scatter, path))))


def test_transfer_with_one_method_has_strips_only(tmp_path):
    path = save_transfer(tmp_path / "t.zarr", methods=("energy_guided", "model_selected_natural"))
    shown = texts(draw(transfer_scatter, path))
    assert {"a", "b", "c"} <= set(shown) and "d" not in shown  # the three scales
    assert not transfer_scatter.table(path)["statistic"].eq("huber_slope").any()


def test_transfer_of_natural_images_alone_is_refused(tmp_path):
    path = save_transfer(tmp_path / "t.zarr", methods=("model_selected_natural",))
    with pytest.raises(V4eggError, match="natural images only"):
        draw(transfer_scatter, path)


def test_outliers_of_relative_activation_are_marked_and_counted(tmp_path):
    path = save_transfer(tmp_path / "t.zarr", 30, 1, ("attention",), judges=())
    dataset = stores.load(path, "transfer").load()
    dataset["normalized_activation"][0, 0, 3] = 1e4  # gradient ascent
    stores.save(dataset.drop_attrs(), tmp_path / "outlier.zarr", "transfer")
    figure = draw(transfer_scatter, tmp_path / "outlier.zarr")
    strips = figure.subfigs[-1].axes[0]
    assert strips.get_ylim()[1] < 100
    assert [line.get_marker() for line in strips.lines].count("^") == 1
    assert transfer_scatter.table(tmp_path / "outlier.zarr")["value"].max() == 1e4
