"""The gallery shows the image that the generators pick, and says where there is none."""

import numpy as np
import pytest

from figure_stores import draw, save_meis, save_transfer, texts
from v4egg.errors import V4eggError
from v4egg.figures import mei_gallery, style
from v4egg.io import stores


def test_gallery_shows_the_image_that_the_generators_pick(arguments):
    transfer, meis = arguments["mei_gallery"]
    figure = draw(mei_gallery, transfer, meis, units=2)
    images = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert len(images) == 2 * (2 + 4)
    own = stores.load(transfer, "transfer")["activation"].isel(unit=slice(0, 2)).sel(judge="generators").load()
    chosen = own.sel({"method": ["gradient_ascent", "energy_guided"]}).argmax("sample").values  # method, arch, unit
    assert [float(image[0, 0, 0]) for image in images[4:]] == pytest.approx(list(chosen.ravel() / 10))
    assert all(axes.images[0].get_interpolation() == "nearest" for axes in figure.axes)


def test_gallery_table_holds_the_numbers_shown(arguments):
    transfer, meis = arguments["mei_gallery"]
    table = mei_gallery.table(transfer, meis, units=3)
    assert len(table) == 3 * (2 + 4)
    assert set(table["judge"]) == {"published_compact"}
    judged = stores.load(transfer, "transfer").load()
    row = table.query("method == 'energy_guided' and arch == 'task_driven' and unit == 's-u002'").iloc[0]
    where = {"method": "energy_guided", "arch": "task_driven", "unit": "s-u002"}
    here = judged["zscore"].sel(where).isel(sample=int(row["sample"]))
    assert row["zscore"] == pytest.approx(float(here.sel(judge="published_compact")))
    assert row["generators_activation"] == pytest.approx(
        float(judged["activation"].sel(where).sel(judge="generators").max())
    )
    natural = table[table["method"] == "model_selected_natural"]
    assert natural["natural_image"].iloc[0] == "attention/s-u000"
    shown = texts(draw(mei_gallery, transfer, meis, units=3))
    assert style.number(row["zscore"], 1) in shown


def test_gallery_of_chosen_units_in_their_order(arguments):
    transfer, meis = arguments["mei_gallery"]
    assert list(dict.fromkeys(mei_gallery.table(transfer, meis, chosen=["s-u004", "s-u001"])["unit"])) == [
        "s-u004", "s-u001",
    ]  # fmt: skip
    with pytest.raises(V4eggError, match=r"no unit.*s-u999"):
        draw(mei_gallery, transfer, meis, chosen=["s-u999"])


def test_gallery_of_one_grey_unit_and_of_batches(tmp_path):
    transfer = save_transfer(tmp_path / "t.zarr", 1, 1, ("attention",), channels=1)
    figure = draw(mei_gallery, transfer, save_meis(tmp_path, ("attention",), n_units=1, n_samples=1, channels=1))
    assert [axes.images[0].get_array().ndim for axes in figure.axes] == [2, 2, 2]
    assert figure.axes[0].images[0].get_clim() == (0, 1)


def test_gallery_says_where_a_unit_has_no_image(tmp_path):
    transfer = save_transfer(tmp_path / "t.zarr", 3, 2, ("attention",))
    meis = save_meis(tmp_path, ("attention",), n_units=2)
    assert texts(draw(mei_gallery, transfer, meis)).count("none") == 2
    assert len(mei_gallery.table(transfer, meis)) == 3 + 2 + 2
