"""Compact models: how well they follow their teacher, how small they are, and how well they predict recorded responses.

Per session: (a) squared correlation with the teacher on images that no fit saw, before and after pruning and after
training again; (b) filters that stay in each layer; (c) numbers that make a model, beside the teacher's and those of
published models; (d) correlation with recorded responses to test images, beside other models of the same units.
"""

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.errors import V4eggError
from v4egg.evaluation.compact_summary import parameter_numbers
from v4egg.figures import style
from v4egg.io import stores

_COLOURS = {"distilled": "#56B4E9", "pruned": "#E69F00", "retrained": "#0072B2", "teacher": "#CC79A7"}
_FINAL = "retrained"
_COLUMNS = ["session", "measure", "model", "layer", "statistic", "unit", "value"]
_PUBLISHED = "published_compact"
_MEASURES = {"correlation_to_average": "correlation", "r2_er": "r2_er"}  # by their names of the teacher


def table(compact: Sequence[str | Path], scores: str | Path, shared: Sequence[str | Path] = ()) -> pd.DataFrame:
    """Every number of the figure, one a row; ``shared`` are the stores of models that all units of a session share.

    The ensembles' scores are there for all sessions of ``scores``, for their r2_er where images were repeated.

    Columns: session, measure, model, layer, statistic, unit, value. Measures are ``r2_to_teacher``, ``filters``,
    ``parameters``, ``correlation_to_average``, ``r2_er``; models the stages of the compact models, ``teacher``,
    ``published_compact``, every ensemble of the scores, and ``shared_<filters>``; statistics ``unit``, ``median``,
    ``mean``, and of the parameters ``ratio``, the teacher's over the median model's.

    Raises:
        V4eggError: there is no store.
    """
    if not compact:
        raise V4eggError("compact: no stores are given; name a session with a test split under compact.sessions")
    known = stores.load(scores, "scores").load()
    parts = [_session(stores.load(path, "compact").load(), known) for path in compact]
    parts += [_ensembles(known, session) for session in _sessions_without(known, parts)]
    parts += [_shared(stores.load(path, "compact_shared").load()) for path in shared]
    each = pd.concat(parts, ignore_index=True).dropna(subset="value")
    heads = ["session", "measure", "model", "layer"]
    grouped = each.groupby(heads, sort=False, dropna=False)["value"]
    summaries = [grouped.agg(name).reset_index().assign(statistic=name) for name in ("median", "mean")]
    return pd.concat([each, *summaries, _ratios(summaries[0])], ignore_index=True).reindex(columns=_COLUMNS)


@style.styled
def draw(compact: Sequence[str | Path], scores: str | Path, shared: Sequence[str | Path] = ()) -> Figure:
    """The figure. Raises as :func:`table`."""
    numbers = table(compact, scores, shared)
    sessions = list(dict.fromkeys(numbers.loc[numbers["measure"] == "filters", "session"]))
    figure = style.new_figure(2.5 * len(sessions))
    columns = numbers.loc[numbers["measure"] == "r2_to_teacher", "model"].nunique()
    grid = figure.subplots(len(sessions), 4, squeeze=False, width_ratios=[0.26 * columns, 1.1, 0.8, 1.7])
    letters = iter(string.ascii_lowercase)
    for panels, session in zip(grid, sessions, strict=True):
        here = numbers[numbers["session"] == session]
        followers = dict.fromkeys(here.loc[here["measure"] == "r2_to_teacher", "model"])
        _strips(panels[0], here, "r2_to_teacher", {model: _name(model) for model in followers}, "median")
        panels[0].set(ylabel="r\u00b2 to the teacher", ylim=(min(0, panels[0].get_ylim()[0]), 1))
        _filters(panels[1], here)
        _parameters(panels[2], here)
        models = [m for m in dict.fromkeys(here["model"]) if _has(here, m) and not m.startswith("shared_")]
        _strips(panels[3], here, "correlation_to_average", {m: _name(m) for m in models}, "mean")
        panels[3].set_ylabel("correlation on test images")
        count = here[(here["measure"] == "parameters") & (here["model"] == _FINAL) & (here["statistic"] == "unit")]
        panels[0].set_title(f"{session} ({len(count)} units)", loc="left", pad=16)
        for panel in panels:
            style.panel_letter(panel, next(letters), -26, 12)
    return figure


def _session(store: xr.Dataset, scores: xr.Dataset) -> pd.DataFrame:
    """The numbers of a session's units."""
    session, units = store.attrs["session"], [str(unit) for unit in store["unit"].values]
    rows: list[tuple] = []

    def add(measure: str, model: str, values: np.ndarray, layer: Any = "") -> None:
        rows.extend(
            (session, measure, model, layer, "unit", unit, float(v)) for unit, v in zip(units, values, strict=True)
        )

    sizes = parameter_numbers(store)
    for stage in map(str, store["stage"].values):
        here = store.sel(stage=stage)
        add("r2_to_teacher", stage, here["r2_to_teacher"].values)
        add("parameters", stage, sizes.sel(stage=stage).values)
        for layer in range(here.sizes["layer"]):
            add("filters", stage, here["filters"].isel(layer=layer).values, layer)
    if "published_parameters" in store:
        add("parameters", _PUBLISHED, store["published_parameters"].where(store["published_parameters"] > 0).values)
    rows.append((session, "parameters", "teacher", "", "unit", "", float(store.attrs["teacher_parameters"])))
    test = scores.sel(split="test").reindex(unit=units)
    for measure, key in _MEASURES.items():
        for arch in map(str, test["arch"].values) if measure in test else ():
            add(measure, arch, test[measure].sel(arch=arch, member="ensemble").values)
        add(measure, "teacher", store[f"teacher_{key}"].values)
        for stage in map(str, store["stage"].values):
            add(measure, stage, store[measure].sel(stage=stage).values)
    if "reference_model_correlation" in test and _PUBLISHED in test["reference_model"].values:
        add(
            "correlation_to_average",
            _PUBLISHED,
            test["reference_model_correlation"].sel(reference_model=_PUBLISHED).values,
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def _sessions_without(scores: xr.Dataset, parts: Sequence[pd.DataFrame]) -> list[str]:
    """Sessions that have scores and no compact models."""
    return sorted({*map(str, scores["session"].values)} - {session for part in parts for session in part["session"]})


def _ensembles(scores: xr.Dataset, session: str) -> pd.DataFrame:
    """The ensembles' numbers in a session without compact models: repeats of other sessions bear r2_er too."""
    test = scores.sel(split="test", member="ensemble")
    test = test.isel(unit=np.flatnonzero(scores["session"].values == session))
    rows = [
        (session, measure, str(arch), "", "unit", str(unit), float(value))
        for measure in _MEASURES
        if measure in test
        for arch in test["arch"].values
        for unit, value in zip(test["unit"].values, test[measure].sel(arch=arch).values, strict=True)
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _shared(store: xr.Dataset) -> pd.DataFrame:
    """The numbers of a session's shared models."""
    rows: list[tuple] = []
    for k in store["shared"].values:
        here, head = store.sel(shared=k), (store.attrs["session"], f"shared_{k}")
        rows.append((head[0], "parameters", head[1], "", "unit", "", float(here["parameters"])))
        for measure in ("r2_to_teacher", "correlation_to_average"):
            pairs = zip(map(str, here["unit"].values), here[measure].values, strict=True)
            rows += [(head[0], measure, head[1], "", "unit", unit, float(value)) for unit, value in pairs]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _ratios(medians: pd.DataFrame) -> pd.DataFrame:
    sizes = medians[medians["measure"] == "parameters"]
    teacher = sizes[sizes["model"] == "teacher"].set_index("session")["value"]
    others = sizes[sizes["model"] != "teacher"]
    return others.assign(statistic="ratio", value=others["session"].map(teacher) / others["value"])


def _has(here: pd.DataFrame, model: str) -> bool:
    return bool(((here["measure"] == "correlation_to_average") & (here["model"] == model)).any())


def _name(model: str) -> str:
    return {_PUBLISHED: "published"}.get(model, style.label(model))


def _strips(axes: Axes, here: pd.DataFrame, measure: str, models: dict[str, str], middle: str) -> None:
    """A column of units for each model, with their middle as a line and a number."""
    rows = here[here["measure"] == measure]
    for place, model in enumerate(models):
        own = rows[rows["model"] == model].set_index("statistic")["value"]
        colour = _COLOURS.get(model, style.GREY)
        style.strip(axes, place, np.atleast_1d(own["unit"]), colour, ("compact", measure, model), 0.5)
        axes.plot([place - 0.35, place + 0.35], [own[middle]] * 2, color=style.BLACK, linewidth=1.4)
        style.number_above(axes, place, own[middle])
    axes.set_xticks(range(len(models)), list(models.values()), rotation=35, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(models) - 0.4)


def _filters(axes: Axes, here: pd.DataFrame) -> None:
    rows = here[(here["measure"] == "filters") & (here["model"] == _FINAL)]
    layers = sorted(set(rows["layer"]))
    for layer in layers:
        own = rows[rows["layer"] == layer].set_index("statistic")["value"]
        style.strip(axes, layer, np.atleast_1d(own["unit"]), _COLOURS[_FINAL], ("filters", layer), 0.5)
        axes.plot([layer - 0.35, layer + 0.35], [own["median"]] * 2, color=style.BLACK, linewidth=1.4)
        axes.text(
            layer, 1.01, f"{own['median']:g}", transform=axes.get_xaxis_transform(), ha="center", fontsize=style.SMALL
        )
    before = here[(here["measure"] == "filters") & (here["model"] == "distilled") & (here["statistic"] == "median")]
    axes.plot(
        before["layer"].astype(float), before["value"], "_", color=style.GREY, markersize=12, label="before pruning"
    )
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.06), borderpad=0)
    axes.set(ylim=(0, None), xlabel="layer", ylabel="filters")
    axes.set_xticks(layers)


def _parameters(axes: Axes, here: pd.DataFrame) -> None:
    models = {"distilled": "distilled", _FINAL: _FINAL, _PUBLISHED: "published"}
    rows = here[here["measure"] == "parameters"]
    shown = {model: name for model, name in models.items() if (rows["model"] == model).any()}
    for place, model in enumerate(shown):
        own = rows[rows["model"] == model].set_index("statistic")["value"]
        colour = _COLOURS.get(model, style.GREY)
        style.strip(axes, place, np.atleast_1d(own["unit"]), colour, ("parameters", model), 0.5)
        axes.plot([place - 0.35, place + 0.35], [own["median"]] * 2, color=style.BLACK, linewidth=1.4)
        thousands = f"{own['median'] / 1000:.1f}k"
        axes.text(place, 1.01, thousands, transform=axes.get_xaxis_transform(), ha="center", fontsize=style.SMALL)
    teacher = rows[(rows["model"] == "teacher") & (rows["statistic"] == "median")]["value"].item()
    ratio = rows[(rows["model"] == _FINAL) & (rows["statistic"] == "ratio")]["value"].item()
    axes.axhline(teacher, color=_COLOURS["teacher"], linewidth=1)
    text = f"teacher (\u00d7{ratio:,.0f})"
    axes.text(
        len(shown) - 0.45, teacher, text, color=_COLOURS["teacher"], ha="right", va="bottom", fontsize=style.SMALL
    )
    axes.set_yscale("log")
    axes.set_ylim(top=teacher * 2.5)
    axes.set_xticks(range(len(shown)), list(shown.values()), rotation=35, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_ylabel("parameters")
