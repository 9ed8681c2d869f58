"""Most exciting naturalistic images: what lambda does to the response, against gradient ascent and natural images.

Every response is divided by the mean response to the unit's gradient ascent images under the same judge, where that is
above 0. Means over a unit's images stand on both sides; the natural image is the one of the pool that the generators
rate highest. The comparison with it uses a judge that took no part: the other architectures' ensemble where there is
one.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.errors import V4eggError
from v4egg.evaluation.best_images import load_transfer
from v4egg.figures import style, tiles
from v4egg.io import stores
from v4egg.stats.inference import paired_wilcoxon

NATURAL, ASCENT, GUIDED = "model_selected_natural", "gradient_ascent", "energy_guided"
PREFERRED = ("across", "validators")  # judges of the comparison with the natural image, by preference
MAX_UNITS = 8
_PANELS = 2.2  # inches: the height of an architecture's panels


def table(
    meni: Sequence[str | Path],
    natural: Sequence[str | Path],
    ascent: Sequence[str | Path],
    judged_meni: str | Path,
    judged_natural: str | Path,
    transfer: str | Path,
) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: arch, judge, shares_weights, image (``meni``, ``model_selected_natural``), energy_scale, statistic, unit,
        value. Per unit:
    ``activation`` and ``relative`` (to gradient ascent). Over units: ``q25``, ``median``, ``q75`` of ``relative``; and
    of MENIs against the natural image ``median_ratio``, ``n_won``, ``n_units``, ``wilcoxon_p``, ``rank_biserial``.

    Raises:
        V4eggError: gradient ascent images were not judged.
    """
    read = _read(judged_meni, judged_natural, transfer)
    rows = [row for arch in read["arch"].values for judge in read["judge"].values for row in _rows(read, arch, judge)]
    columns = ["arch", "judge", "shares_weights", "image", "energy_scale", "statistic", "unit", "value"]
    return pd.DataFrame(rows, columns=columns)


@style.styled
def draw(
    meni: Sequence[str | Path],
    natural: Sequence[str | Path],
    ascent: Sequence[str | Path],
    judged_meni: str | Path,
    judged_natural: str | Path,
    transfer: str | Path,
) -> Figure:
    """Images of the first architecture, then responses over lambda, by architecture. Raises as :func:`table`."""
    read = _read(judged_meni, judged_natural, transfer)
    archs = [str(arch) for arch in read["arch"].values]
    units = [str(unit) for unit in read["unit"].values[:MAX_UNITS]]
    rows = _image_rows(units, *(_of(paths, archs[0]) for paths in (natural, meni, ascent)))
    figure = tiles.sheet(rows, [tiles.over_two_lines(unit) for unit in units], _PANELS * len(archs) + tiles.LEGEND)
    letters = iter("bcdefghijklmnopqrstuvwxyz")
    for row, arch in enumerate(archs):
        rise = tiles.LEGEND + _PANELS * (len(archs) - 1 - row)
        curve, strip = tiles.panels(figure, _PANELS, [1.4, 1.0], rise)
        _draw_curves(curve, read, arch)
        _draw_strip(strip, read, arch)
        for axes in (curve, strip):
            style.panel_letter(axes, next(letters), -34, rise=12)
    _explain(figure, curve, read)
    return figure


def _read(judged_meni: str | Path, judged_natural: str | Path, transfer: str | Path) -> xr.Dataset:
    """activation[arch, unit, setting, judge], natural and ascent [arch, unit, judge], relative and shares_weights."""
    made, found = stores.load(judged_meni, "judged").load(), stores.load(judged_natural, "judged").load()
    scored = load_transfer(transfer)
    if ASCENT not in scored["method"].values:
        raise V4eggError(f"{transfer}: holds no {ASCENT} images, with which MENIs are compared; add it to the methods")
    places = {"arch": made["arch"].values, "unit": made["unit"].values, "judge": made["judge"].values}
    ascent = scored["activation"].sel({"method": ASCENT}, drop=True).mean("sample").sel(places)
    natural = found["activation"].isel(setting=0, sample=0, drop=True).sel(places)
    activation = made["activation"].mean("sample")
    scale = ascent.where(ascent > 0)
    return xr.Dataset(
        {
            "activation": activation,
            "natural": natural,
            "relative": activation / scale,
            "natural_relative": natural / scale,
            "shares_weights": made["shares_weights"],
        }
    )


def _rows(read: xr.Dataset, arch: str, judge: str) -> list[tuple]:
    here = read.sel(arch=arch, judge=judge)
    if here["activation"].isnull().all():
        return []
    head = (str(arch), str(judge), bool(here["shares_weights"]))
    rows = _value_rows((*head, NATURAL, np.nan), here["natural"], here["natural_relative"])
    for setting in here["setting"].values:
        at = here.sel(setting=setting)
        place = (*head, "meni", float(setting))
        rows += _value_rows(place, at["activation"], at["relative"])
        rows += [(*place, name, "", value) for name, value in _against(at).items()]
    return rows


def _value_rows(place: tuple, activation: xr.DataArray, relative: xr.DataArray) -> list[tuple]:
    units = [str(unit) for unit in activation["unit"].values]
    rows = [
        (*place, name, unit, float(value))
        for name, values in {"activation": activation, "relative": relative}.items()
        for unit, value in zip(units, values.values, strict=True)
        if np.isfinite(value)
    ]
    return rows + [(*place, name, "", value) for name, value in _quartiles(relative.values).items()]


def _quartiles(values: np.ndarray) -> dict[str, float]:
    values = values[np.isfinite(values)]
    found = np.quantile(values, (0.25, 0.5, 0.75)) if values.size else (np.nan,) * 3
    return dict(zip(("q25", "median", "q75"), map(float, found), strict=True))


def _against(at: xr.Dataset) -> dict[str, float]:
    """Of MENIs at one lambda against the best natural image, over units."""
    made, natural = at["activation"].values, at["natural"].values
    test = paired_wilcoxon(made, natural)
    ratios = _ratios(at)
    return {
        "median_ratio": float(np.median(ratios)) if ratios.size else np.nan,
        "n_won": float(np.sum(made > natural)),
        "n_units": float(np.isfinite(made - natural).sum()),
        "wilcoxon_p": test.p_value,
        "rank_biserial": test.rank_biserial,
    }


def _ratios(at: xr.Dataset) -> np.ndarray:
    natural = at["natural"].where(at["natural"] > 0)
    ratios = (at["activation"] / natural).values
    return ratios[np.isfinite(ratios)]


def independent_judge(shares_weights: xr.DataArray, known: xr.DataArray) -> str | None:
    """The judge (of the dim ``judge``) that compares: of :data:`PREFERRED`, else the last, that took no part.

    ``known`` tells which judges have scored at all. None where all took part.
    """
    held_out = [str(name) for name in shares_weights["judge"].values[(~shares_weights & known).values]]
    preferred = [name for name in PREFERRED if name in held_out]
    return (preferred + held_out[::-1] + [None])[0]


def _of(paths: Sequence[str | Path], arch: str) -> xr.DataArray:
    """The images of one architecture's store."""
    found = [store for store in map(stores.load, paths) if store.attrs.get("arch") == arch]
    if not found:
        raise V4eggError(f"meni: no store of architecture {arch} among {[str(path) for path in paths]}")
    return found[0]["image"]


def _image_rows(
    units: Sequence[str], natural: xr.DataArray, meni: xr.DataArray, ascent: xr.DataArray
) -> list[tiles.Row]:
    def first(images: xr.DataArray) -> list[np.ndarray]:
        return list(images.isel(sample=0).sel(unit=units).values)

    colours = style.colours([NATURAL, GUIDED, ASCENT])
    guided = [
        tiles.Row(f"λ = {setting:g}", first(meni.sel(setting=setting)), colour=colours[GUIDED])
        for setting in meni["setting"].values
    ]
    natural_row = tiles.Row("best natural\nof the pool", first(natural), colour=colours[NATURAL])
    return [natural_row, *guided, tiles.Row(style.label(ASCENT), first(ascent), colour=colours[ASCENT])]


def _draw_curves(axes: Axes, read: xr.Dataset, arch: str) -> None:
    here = read.sel(arch=arch)
    settings = here["setting"].values
    judges = [str(judge) for judge in here["judge"].values]
    for rank, judge in enumerate(judges):
        at = here.sel(judge=judge)
        if at["activation"].isnull().all():
            continue
        look = style.judge_look(judge)
        shift = 0.08 * (rank - (len(judges) - 1) / 2)
        groups = [at["natural_relative"].values, *(at["relative"].sel(setting=s).values for s in settings)]
        middles = [_quartiles(values) for values in groups]
        x = np.arange(len(groups)) + shift
        median = np.array([m["median"] for m in middles])
        reach = np.abs(np.array([[m["q25"], m["q75"]] for m in middles]).T - median)
        axes.errorbar(x, median, reach, linestyle="none", elinewidth=0.6, **look)
        axes.plot(x[1:], median[1:], color=look["color"], linewidth=0.9)
    axes.axhline(1, color=style.colours([ASCENT])[ASCENT], linewidth=0.7, linestyle=(0, (4, 2)), zorder=0)
    axes.set_xticks(range(len(settings) + 1), ["natural", *(f"{s:g}" for s in settings)])
    axes.set_xlabel("λ")
    axes.set_ylabel("response\n(1: gradient ascent)")
    axes.set_title(style.label(arch), loc="left", pad=12)


def _draw_strip(axes: Axes, read: xr.Dataset, arch: str) -> None:
    here = read.sel(arch=arch)
    judge = independent_judge(here["shares_weights"], here["activation"].notnull().any(["unit", "setting"]))
    if judge is None:
        axes.text(0.5, 0.5, "every judge\ntook part", transform=axes.transAxes, ha="center", va="center")
        axes.set_axis_off()
        return
    here = here.sel(judge=judge)
    colours = style.colours([GUIDED, NATURAL])
    low, high = style.usual_limits(_ratios(here), (0.1, 0.9))  # a ratio has long tails, and a unit is in every column
    for x, setting in enumerate(here["setting"].values):
        at = here.sel(setting=setting)
        numbers, ratios = _against(at), _ratios(at)
        within = ratios[(ratios >= low) & (ratios <= high)]
        style.strip(axes, x, within, colours[GUIDED], (arch, judge, float(setting)), 0.4)
        style.mark_beyond(axes, x, ratios, (low, high), colours[GUIDED])
        axes.plot([x - 0.3, x + 0.3], [numbers["median_ratio"]] * 2, color=style.BLACK, linewidth=1.4)
        text = f"{numbers['n_won']:.0f}/{numbers['n_units']:.0f}"
        axes.text(x, 1.01, text, transform=axes.get_xaxis_transform(), ha="center", fontsize=style.SMALL)
    style.limit(axes, (low, high))
    axes.axhline(1, color=colours[NATURAL], linewidth=0.7, linestyle=(0, (4, 2)), zorder=0)
    axes.set_xticks(range(here.sizes["setting"]), [f"{s:g}" for s in here["setting"].values])
    axes.set_xlim(-0.6, here.sizes["setting"] - 0.4)
    axes.set_xlabel("λ")
    axes.set_ylabel(f"{style.label(judge)}: response\n(1: best natural)")


def _explain(figure: Figure, axes: Axes, read: xr.Dataset) -> None:
    """What the markers mean, once for all panels."""
    handles = []
    for judge in read["judge"].values:
        part = " (took part)" if bool(read["shares_weights"].sel(judge=judge).all()) else ""
        handles += axes.plot(
            [], [], label=style.label(str(judge)) + part, linewidth=0.9, **style.judge_look(str(judge))
        )
    line = {"linewidth": 0.7, "linestyle": (0, (4, 2))}
    handles += [
        axes.plot([], [], color=style.colours([name])[name], label=style.label(name), **line)[0]
        for name in (ASCENT, NATURAL)
    ]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), columnspacing=1.2, handletextpad=0.5)
