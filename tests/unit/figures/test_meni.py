"""MENIs over lambda: responses against gradient ascent and the best natural image, and who compares."""

import numpy as np
import pytest

from figure_stores import draw, meni_arguments, rendered, save_transfer, texts
from v4egg.errors import V4eggError
from v4egg.figures import meni
from v4egg.io import stores
from v4egg.stats.inference import paired_wilcoxon


def test_responses_are_relative_to_gradient_ascent_and_tested_against_the_natural_image(tmp_path):
    arguments = meni_arguments(tmp_path)
    table = meni.table(*arguments)
    made, natural = (stores.load(path, "judged")["activation"].load() for path in arguments[3:5])
    ascent = stores.load(arguments[5], "transfer")["activation"].sel({"method": "gradient_ascent"}).mean("sample")
    place = {"arch": "task_driven", "judge": "across"}
    made = made.sel({**place, "setting": 10}).mean("sample").values
    natural = natural.sel(place).isel(setting=0, sample=0).values
    here = table.query("arch == 'task_driven' and judge == 'across' and energy_scale == 10")
    expected = made / ascent.sel(place).values
    assert np.allclose(here.query("statistic == 'fraction_of_gradient_ascent'")["value"], expected, rtol=1e-5)
    numbers = here.set_index("statistic")["value"]
    assert numbers["median"] == pytest.approx(np.median(expected), rel=1e-5)
    assert numbers["n_won"] == (made > natural).sum()
    assert numbers["wilcoxon_p"] == pytest.approx(paired_wilcoxon(made, natural).p_value)
    assert numbers["median_ratio"] == pytest.approx(np.median(made / natural), rel=1e-5)
    best = table.query("image == 'model_selected_natural' and arch == 'task_driven' and judge == 'across'")
    assert np.allclose(best.query("statistic == 'activation'")["value"], natural)


def test_the_figure_names_lambdas_judges_and_wins(tmp_path):
    arguments = meni_arguments(tmp_path)
    shown = texts(rendered(draw(meni, *arguments)))
    assert {"λ = 0", "λ = 1", "λ = 10", "best natural\nof the pool"} <= set(shown)
    assert {"generators (shares weights)", "across"} <= set(shown)
    won = meni.table(*arguments).query("judge == 'across' and statistic == 'n_won'")["value"]
    assert len(won) == 6
    assert all(any(text.startswith(f"{n:.0f}/6\nq") for text in shown) for n in won)
    assert sum(text.startswith("across: response") for text in shown) == 2


def test_one_unit_one_grey_architecture_and_no_independent_judge(tmp_path):
    figure = rendered(draw(meni, *meni_arguments(tmp_path, ("attention",), 1, (), channels=1)))
    assert "every judge\nshares weights" in texts(figure)


def test_units_without_a_positive_gradient_ascent_have_no_scale(tmp_path):
    arguments = meni_arguments(tmp_path)
    transfer = stores.load(arguments[5], "transfer").load()
    transfer["activation"][0, :, 0] = -1.0
    stores.save(transfer.drop_attrs(), tmp_path / "low.zarr", "transfer")
    table = meni.table(*arguments[:5], tmp_path / "low.zarr")
    relative = table.query(
        "arch == 'attention' and judge == 'across' and energy_scale == 1 and statistic == 'fraction_of_gradient_ascent'"
    )
    assert "s-u000" not in set(relative["unit"]) and len(relative) == 5


def test_without_gradient_ascent_there_is_nothing_to_compare_with(tmp_path):
    arguments = meni_arguments(tmp_path)
    other = save_transfer(tmp_path / "other.zarr", methods=("energy_guided", "model_selected_natural"))
    with pytest.raises(V4eggError, match="holds no gradient_ascent images"):
        meni.table(*arguments[:5], other)
