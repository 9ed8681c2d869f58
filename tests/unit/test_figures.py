"""Figures drawn from small stores: the same bytes again, the right numbers, and the odd cases."""

import hashlib
import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

from v4egg import stores
from v4egg.errors import V4eggError
from v4egg.figures import FIGURES, compute_time, encoder_scores, evolution, mei_gallery, style, transfer_scatter
from v4egg.seeding import numpy_generator
from v4egg.statistics import huber_slope, paired_wilcoxon
from v4egg.store_kinds import KINDS, Variable

METHODS = ("gradient_ascent", "energy_guided", "best_natural")
SCORE = ("arch", "member", "split", "unit")
JUDGED = ("method", "arch", "unit", "seed", "judge")
ARCHS = ("attention", "task_driven")


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(style, "DPI", 40)


@pytest.fixture(autouse=True)
def yardsticks(monkeypatch):
    entry = Variable(("yardstick", "split", "unit"), "float32", "correlation", "of other models", True)
    monkeypatch.setitem(KINDS["scores"], "yardstick_correlation", entry)


def units_of(sessions):
    return [f"{session}-u{i:03d}" for session, n in sessions.items() for i in range(n)]


def save_scores(path, sessions, archs=ARCHS, extras=True):
    """Correlations between 0.3 and 0.9; a session named ``off`` has no test split."""
    units = units_of(sessions)
    names = [unit.split("-")[0] for unit in units]
    members = ["m0", "m1", "generators", "validators", "ensemble"]
    values = numpy_generator("scores", len(units)).uniform(0.3, 0.9, (len(archs), len(members), 2, len(units)))
    values[:, :, 1, [name == "off" for name in names]] = np.nan
    variables = {"correlation_to_average": (SCORE, values)}
    coords = {"arch": list(archs), "member": members, "split": ["validation", "test"], "unit": units}
    if extras:
        variables["correlation_to_truth"] = (SCORE, values + 0.05)
        variables["ceiling"] = ("unit", values[0, 0, 1])
        variables["yardstick_correlation"] = (("yardstick", "split", "unit"), values[:1, 0])
        variables["mixed_correlation"] = (("split", "unit"), values[:, 4].mean(0))
        variables["baseline_correlation"] = (("baseline", "unit"), values[0, :2, 1] / 2)
        coords |= {"yardstick": ["published_compact"], "baseline": ["ridge", "shuffled"]}
    stores.save(xr.Dataset(variables, {**coords, "session": ("unit", names)}), path, "scores")
    return path


def save_transfer(
    path, n_units=6, n_seeds=2, archs=ARCHS, methods=METHODS, channels=3, judges=("across", "published_compact")
):
    units, judges = units_of({"s": n_units}), ["generators", *judges]
    shape = (len(methods), len(archs), n_units, n_seeds, len(judges))
    values = numpy_generator("transfer", n_units).gamma(3.0, 1.0, shape)
    if "best_natural" in methods:
        values[methods.index("best_natural"), :, :, 1:] = np.nan
    names = np.array([[f"{arch}/{unit}" for unit in units] for arch in archs], object)
    variables = {
        "activation": (JUDGED, values),
        "zscore": (JUDGED, values - 1),
        "relative_activation": (JUDGED, values / 3),
        "took_part": (("arch", "judge"), np.array([[judge == "generators" for judge in judges]] * len(archs))),
        "best_natural": (("arch", "unit"), names),
        "natural_image": (("arch", "unit", "channel", "y", "x"), np.full((len(archs), n_units, channels, 6, 6), 0.5)),
    }
    coords = {"method": list(methods), "arch": list(archs), "unit": units, "judge": judges}
    stores.save(xr.Dataset(variables, coords), path, "transfer")
    return path


def save_mei(path, method, arch, n_units=6, n_seeds=2, channels=3, final=4.0, seconds=2.0, steps=5):
    rise = np.linspace(0.25, 1, steps) if steps > 1 else np.ones(1)
    scale = final * np.arange(1, n_units + 1)[:, None, None] * np.ones((1, n_seeds, 1))
    seeds = np.arange(n_seeds)[None, :, None, None, None] / 10
    variables = {
        "image": (("unit", "seed", "channel", "y", "x"), np.zeros((n_units, n_seeds, channels, 6, 6)) + seeds),
        "activation": (("unit", "seed", "step"), scale * rise),
        "evaluations": (("unit", "seed"), np.full((n_units, n_seeds), 10 * steps)),
        "seconds": (("unit", "seed"), np.full((n_units, n_seeds), seconds)),
    }
    attrs = {"method": method, "arch": arch}
    stores.save(xr.Dataset(variables, {"unit": units_of({"s": n_units})}, attrs), path, "mei")
    return path


def save_meis(folder, archs=ARCHS, **options):
    costs = {"gradient_ascent": (4.0, 6.0, 5), "energy_guided": (3.0, 2.0, 4)}
    return [
        save_mei(folder / f"{method}-{arch}.zarr", method, arch, final=f, seconds=s, steps=n, **options)
        for arch in archs
        for method, (f, s, n) in costs.items()
    ]


def save_evolutions(folder):
    """Neurons whose evolved image reaches 0.5, 1, 1.5, ... of the best natural one; the last has no natural drive."""
    paths = []
    for name, groups in {"genetic": ["s1"] * 5, "inside": ["core.3", "core.3", "core.6", "core.6", "core.6"]}.items():
        natural, share = np.array([2.0, 2, 4, 4, 0]), np.array([0.5, 1, 1.5, 2, 3])
        rise = np.linspace(0.2, 1, 6)[None] * (natural * share)[:, None]
        variables = {
            "presentations": (("neuron", "round"), np.tile(20 * np.arange(1, 7), (5, 1))),
            **dict.fromkeys(("best", "mean", "noiseless"), (("neuron", "round"), rise)),
            "evolved": ("neuron", natural * share),
            "natural": ("neuron", natural),
            "relative_activation": ("neuron", np.where(natural > 0, share, np.nan)),
            "image": (("neuron", "channel", "y", "x"), np.zeros((5, 3, 6, 6))),
            "group": ("neuron", np.array(groups, object)),
        }
        coords = {"neuron": np.array([f"{name}-{i}" for i in range(5)], object)}
        paths.append(folder / f"{name}.zarr")
        stores.save(xr.Dataset(variables, coords, {"condition": name}), paths[-1], "evolution")
    return paths


@pytest.fixture
def arguments(tmp_path):
    transfer, meis = save_transfer(tmp_path / "transfer.zarr"), save_meis(tmp_path)
    return {
        "encoder_scores": (save_scores(tmp_path / "scores.zarr", {"one": 5, "off": 2}),),
        "mei_gallery": (transfer, meis),
        "transfer_scatter": (transfer,),
        "compute_time": (meis,),
        "evolution": (save_evolutions(tmp_path),),
    }


def rendered(figure):
    """The figure after it was drawn once: odd data must not break what happens only then."""
    figure.savefig(io.BytesIO(), format="png", dpi=30)
    return figure


def texts(figure):
    """Everything that is written on a figure."""
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]


@pytest.mark.parametrize("name", list(FIGURES))
def test_same_data_same_bytes(name, arguments, tmp_path):
    module, written = FIGURES[name], []
    arguments["transfer_scatter"] = (save_transfer(tmp_path / "small.zarr", archs=("attention",), judges=("across",)),)
    for folder in ("first", "second"):
        paths = style.write(module.draw(*arguments[name]), module.table(*arguments[name]), tmp_path / folder, name)
        assert [path.name for path in paths] == [f"{name}.svg", f"{name}.png", f"{name}.csv"]
        written.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert written[0] == written[1]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == sorted(path.name for path in paths)
    assert len(pd.read_csv(tmp_path / "first" / f"{name}.csv")) > 5


def test_bytes_depend_on_the_data_and_hold_no_date(arguments, tmp_path):
    first = style.write(compute_time.draw(*arguments["compute_time"]), pd.DataFrame(), tmp_path / "a", "x")[0]
    only = arguments["compute_time"][0][:2]
    second = style.write(compute_time.draw(only), pd.DataFrame(), tmp_path / "b", "x")[0]
    assert first.read_bytes() != second.read_bytes()
    assert b"<dc:date>" not in first.read_bytes()


def test_settings_of_matplotlib_neither_leak_out_nor_in(arguments, tmp_path):
    before = dict(matplotlib.rcParams)
    plain = style.write(compute_time.draw(*arguments["compute_time"]), pd.DataFrame(), tmp_path / "a", "x")[0]
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9}):
        other = style.write(compute_time.draw(*arguments["compute_time"]), pd.DataFrame(), tmp_path / "b", "x")
    assert plain.read_bytes() == other[0].read_bytes()


def test_a_failed_write_leaves_nothing(tmp_path):
    class Broken(Figure):
        def savefig(self, path, **_):
            path.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        style.write(Broken(), pd.DataFrame(), tmp_path, "x")
    assert list(tmp_path.iterdir()) == []


def test_every_method_and_architecture_has_a_colour_of_its_own():
    names = [*METHODS, "attention", "task_driven", "factorized", "another", "one_more"]
    found = style.colours(names)
    assert len(set(found.values())) == len(names)
    for name in (*METHODS, "attention", "task_driven"):
        assert style.colours([name])[name] == found[name]


def test_number_has_a_true_minus_and_no_negative_zero():
    assert style.number(-1.236) == "\u22121.24"
    assert style.number(-0.001) == "0.00"


def test_encoder_scores_table(tmp_path):
    path = save_scores(tmp_path / "scores.zarr", {"one": 5, "off": 2, "two": 3})
    table = encoder_scores.table(path)
    truth = stores.load(path, "scores")["correlation_to_average"].sel(split="test").load()
    assert set(table["session"]) == {"one", "two"}
    models = {"published_compact", "ceiling", "attention", "task_driven", "mixed", "ridge", "shuffled"}
    assert models == set(table["model"])
    own = table.query("session == 'one' and model == 'attention' and metric == 'correlation_to_average'")
    against = own[own["against"] == "ridge"].set_index("statistic")["value"]
    ridge = stores.load(path, "scores")["baseline_correlation"].sel(baseline="ridge").values[:5]
    assert against["difference"] == pytest.approx(
        float((truth.sel(arch="attention", member="ensemble").values[:5] - ridge).mean()), abs=1e-5
    )
    assert against["n"] == 5
    own = own[own["against"] == ""]
    ensemble = own[own["member"] == "ensemble"].set_index("statistic")["value"]
    expected = truth.sel(arch="attention", member="ensemble").values[:5]
    assert np.allclose(ensemble["unit"], expected)
    assert ensemble["mean"] == pytest.approx(expected.mean())
    assert ensemble["ci_low"] < ensemble["mean"] < ensemble["ci_high"]
    assert ensemble["n_units"] == 5
    member = own.query("member == 'm0' and statistic == 'mean'")["value"].item()
    assert member == pytest.approx(float(truth.sel(arch="attention", member="m0")[:5].mean()))


def test_encoder_scores_shows_both_sessions_and_who_is_better(tmp_path):
    path = save_scores(tmp_path / "scores.zarr", {"one": 5, "off": 2, "two": 1})
    shown = texts(encoder_scores.draw(path))
    assert {"one (5 units)", "two (1 unit)", "a", "b", "c", "d"} <= set(shown)
    assert not any("off" in text for text in shown)
    scores = stores.load(path, "scores").sel(unit=[f"one-u{i:03d}" for i in range(5)]).load()
    ensembles = scores["correlation_to_average"].sel(member="ensemble")
    best = ensembles.sel(split="validation").mean("unit").argmax("arch")
    own, other = ensembles.sel(split="test")[best].values, scores["yardstick_correlation"].sel(split="test")[0].values
    assert any(text.startswith(f"{int((own > other).sum())} of 5 above, p") for text in shown)
    assert {"mixed ensemble", "ridge", "shuffled (chance)", "ceiling"} <= set(shown)


def test_encoder_scores_of_one_unit_and_one_encoder_without_extras(tmp_path):
    path = save_scores(tmp_path / "scores.zarr", {"one": 1}, archs=("attention",), extras=False)
    shown = texts(rendered(encoder_scores.draw(path)))
    assert "one (1 unit)" in shown
    assert "b" not in shown  # nothing to compare with
    assert not encoder_scores.table(path)["statistic"].isin(["ci_low", "ci_high"]).any()


def test_encoder_scores_compares_a_lone_encoder_with_the_yardstick(tmp_path):
    path = save_scores(tmp_path / "scores.zarr", {"one": 4}, archs=("attention",))
    assert "published compact (correlation)" in texts(encoder_scores.draw(path))


def test_encoder_scores_compares_encoders_where_nobody_else_knows_the_units(tmp_path):
    path = save_scores(tmp_path / "scores.zarr", {"one": 4}, extras=False)
    shown = texts(rendered(encoder_scores.draw(path)))
    assert {"attention (correlation)", "task driven (correlation)"} & set(shown)


def test_two_cores_by_two_readouts_stand_in_a_table(tmp_path):
    archs = ("a", "b", "c", "d")
    dataset = stores.load(save_scores(tmp_path / "plain.zarr", {"one": 4, "two": 3}, archs), "scores").load()
    parts = {"core": ("arch", ["x", "x", "y", "y"]), "readout": ("arch", ["p", "q", "p", "q"])}
    stores.save(dataset.assign_coords(parts).drop_attrs(), tmp_path / "scores.zarr", "scores")
    figure = rendered(encoder_scores.draw(tmp_path / "scores.zarr"))
    squares = [axes for axes in figure.axes if axes.images]
    means = dataset["correlation_to_average"].sel(split="test", member="ensemble")
    means = means.groupby("session").mean("unit").transpose("session", "arch").values
    assert [axes.images[0].get_array().ravel().tolist() for axes in squares] == [
        pytest.approx(row.tolist(), abs=1e-5) for row in means
    ]
    parts["readout"] = ("arch", ["p", "q", "p", "p"])
    stores.save(dataset.assign_coords(parts).drop_attrs(), tmp_path / "uneven.zarr", "scores")
    assert not any(axes.images for axes in encoder_scores.draw(tmp_path / "uneven.zarr").axes)


def test_encoder_scores_without_any_test_session(tmp_path):
    with pytest.raises(V4eggError, match=r"scores\.zarr: no session has test scores"):
        encoder_scores.draw(save_scores(tmp_path / "scores.zarr", {"off": 3}))


def test_gallery_shows_the_image_that_the_generators_pick(arguments):
    transfer, meis = arguments["mei_gallery"]
    figure = mei_gallery.draw(transfer, meis, units=2)
    images = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert len(images) == 2 * (2 + 4)
    own = stores.load(transfer, "transfer")["activation"].isel(unit=slice(0, 2)).sel(judge="generators").load()
    chosen = own.sel({"method": ["gradient_ascent", "energy_guided"]}).argmax("seed").values  # method, arch, unit
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
    here = judged["zscore"].sel(where).isel(seed=int(row["seed"]))
    assert row["zscore"] == pytest.approx(float(here.sel(judge="published_compact")))
    assert row["generators_activation"] == pytest.approx(
        float(judged["activation"].sel(where).sel(judge="generators").max())
    )
    natural = table[table["method"] == "best_natural"]
    assert natural["natural_image"].iloc[0] == "attention/s-u000"
    shown = texts(mei_gallery.draw(transfer, meis, units=3))
    assert style.number(row["zscore"], 1) in shown


def test_gallery_of_chosen_units_in_their_order(arguments):
    transfer, meis = arguments["mei_gallery"]
    assert list(dict.fromkeys(mei_gallery.table(transfer, meis, chosen=["s-u004", "s-u001"])["unit"])) == [
        "s-u004", "s-u001",
    ]  # fmt: skip
    with pytest.raises(V4eggError, match=r"no unit.*s-u999"):
        mei_gallery.draw(transfer, meis, chosen=["s-u999"])


def test_gallery_of_one_grey_unit_and_of_batches(tmp_path):
    transfer = save_transfer(tmp_path / "t.zarr", 1, 1, ("attention",), channels=1)
    figure = mei_gallery.draw(transfer, save_meis(tmp_path, ("attention",), n_units=1, n_seeds=1, channels=1))
    assert [axes.images[0].get_array().ndim for axes in figure.axes] == [2, 2, 2]
    assert figure.axes[0].images[0].get_clim() == (0, 1)


def test_gallery_says_where_a_unit_has_no_image(tmp_path):
    transfer = save_transfer(tmp_path / "t.zarr", 3, 2, ("attention",))
    meis = save_meis(tmp_path, ("attention",), n_units=2)
    assert texts(mei_gallery.draw(transfer, meis)).count("none") == 2
    assert len(mei_gallery.table(transfer, meis)) == 3 + 2 + 2


def test_transfer_table_against_the_metrics(arguments):
    path = arguments["transfer_scatter"][0]
    table = transfer_scatter.table(path)
    judged = stores.load(path, "transfer").load()
    own = judged["activation"].sel(arch="attention", judge="generators")
    z = judged["zscore"].sel(arch="attention", judge="across")
    picked = {
        method: z.sel({"method": method}).isel(seed=own.sel({"method": method}).argmax("seed")).values
        for method in METHODS[:2]
    }
    found = table.query("arch == 'attention' and judge == 'across' and measure == 'zscore'")
    assert not found["took_part"].any()
    units = found[found["statistic"] == "unit"]
    for method, values in picked.items():
        assert np.allclose(units.loc[units["method"] == method, "value"], values)
    statistics = found[found["method"] == "energy_guided"].set_index("statistic")["value"]
    x, y = picked["gradient_ascent"], picked["energy_guided"]
    assert statistics["huber_slope"] == pytest.approx(huber_slope(x, y))
    assert statistics["wilcoxon_p"] == pytest.approx(paired_wilcoxon(y, x).p_value)
    assert statistics["n_won"] == (y > x).sum()
    assert statistics["n_units"] == 6
    assert table.query("judge == 'generators'")["took_part"].all()


def test_transfer_panels_name_judges_and_statistics(arguments):
    path = arguments["transfer_scatter"][0]
    shown = texts(transfer_scatter.draw(path))
    won = transfer_scatter.table(path).query("statistic == 'n_won'")["value"].astype(int)
    assert sum("generators\n(took part)" in text for text in shown) >= 2  # a scatter and a strip each
    assert any("published compact\n(held out)" in text for text in shown)
    assert all(any(f"{n}/6 above" in text for text in shown) for n in won)


@pytest.mark.parametrize("n_units", [1, 2])
def test_transfer_of_hardly_any_units(tmp_path, n_units):
    path = save_transfer(tmp_path / "t.zarr", n_units, 1, ("attention",), judges=())
    assert any(f"/{n_units} above" in text for text in texts(rendered(transfer_scatter.draw(path))))


def test_transfer_with_one_method_has_strips_only(tmp_path):
    path = save_transfer(tmp_path / "t.zarr", methods=("energy_guided", "best_natural"))
    shown = texts(transfer_scatter.draw(path))
    assert "a" in shown and "b" not in shown
    assert not transfer_scatter.table(path)["statistic"].eq("huber_slope").any()


def test_transfer_of_natural_images_alone_is_refused(tmp_path):
    path = save_transfer(tmp_path / "t.zarr", methods=("best_natural",))
    with pytest.raises(V4eggError, match="natural images only"):
        transfer_scatter.draw(path)


def test_outliers_of_relative_activation_are_marked_and_counted(tmp_path):
    path = save_transfer(tmp_path / "t.zarr", 30, 1, ("attention",), judges=())
    dataset = stores.load(path, "transfer").load()
    dataset["relative_activation"][0, 0, 3] = 1e4  # gradient ascent
    stores.save(dataset.drop_attrs(), tmp_path / "outlier.zarr", "transfer")
    figure = transfer_scatter.draw(tmp_path / "outlier.zarr")
    strips = figure.subfigs[-1].axes[0]
    assert strips.get_ylim()[1] < 100
    assert [line.get_marker() for line in strips.lines].count("^") == 1
    assert transfer_scatter.table(tmp_path / "outlier.zarr")["value"].max() == 1e4


def test_compute_time_table(arguments):
    table = compute_time.table(*arguments["compute_time"])
    guided = table.query("method == 'energy_guided' and arch == 'attention'")
    seconds = guided[guided["measure"] == "seconds"].set_index("statistic")["value"]
    assert seconds["mean"] == pytest.approx(2.0)
    assert seconds["ratio"] == pytest.approx(3.0)
    assert len(seconds["image"]) == 6 * 2
    evaluations = guided[guided["measure"] == "evaluations"].set_index("statistic")["value"]
    assert evaluations["ratio"] == pytest.approx(50 / 40)
    climb = guided.query("measure == 'relative_activation' and statistic == 'median'")
    assert climb["step_fraction"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert climb["value"].iloc[-1] == pytest.approx(3 / 4)  # every unit by gradient ascent's own end
    assert not table.query("method == 'gradient_ascent'")["statistic"].eq("ratio").any()


def test_compute_time_prints_the_ratio(arguments):
    assert any("3.0× less" in text for text in texts(compute_time.draw(*arguments["compute_time"])))


def test_compute_time_of_one_unit_one_step_and_no_reference(tmp_path):
    lone = save_mei(tmp_path / "lone.zarr", "energy_guided", "attention", 1, 1, steps=1)
    table = compute_time.table([lone])
    assert set(table["measure"]) == {"seconds", "evaluations"}  # nothing to normalise trajectories by
    assert "attention" in texts(rendered(compute_time.draw([lone])))


def test_units_that_gradient_ascent_left_at_zero_have_no_scale(tmp_path):
    reference = save_mei(tmp_path / "ga.zarr", "gradient_ascent", "attention", 2, 1, final=0.0)
    table = compute_time.table([reference])
    assert not table["measure"].eq("relative_activation").any()


def test_compute_time_without_stores():
    with pytest.raises(V4eggError, match="no mei stores"):
        compute_time.draw([])


def test_evolution_table_and_its_columns(arguments):
    numbers = evolution.table(*arguments["evolution"])
    final = numbers[(numbers["condition"] == "inside") & (numbers["measure"] == "relative_activation")]
    assert list(final.loc[final["statistic"] == "neuron", "value"]) == [0.5, 1, 1.5, 2]
    whole = final[final["group"] == ""].set_index("statistic")["value"]
    assert whole["median"] == 1.25
    assert whole["share_above_1"] == 0.5
    assert final[(final["group"] == "core.6") & (final["statistic"] == "median")]["value"].item() == 1.75
    curve = numbers[(numbers["condition"] == "genetic") & (numbers["statistic"] == "median")].set_index("presentations")
    assert curve["value"][120] == pytest.approx(1.25)
    assert curve["value"][20] == pytest.approx(0.25)
    shown = texts(rendered(evolution.draw(*arguments["evolution"])))
    assert {"genetic", "inside, core.3", "inside, core.6", "presentations"} <= set(shown)


def test_evolution_without_stores():
    with pytest.raises(V4eggError, match=r"no stores are given; name conditions under evolution\.conditions"):
        evolution.draw([])
