"""Numbers of the figure ``meni``: what lambda does to the response, against gradient ascent and natural images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.best_images import load_transfer
from v4egg.evaluation.independence import most_independent, shares_weights_by_judge
from v4egg.evaluation.tables.common import Row, finite, median, quartiles, with_adjusted_p
from v4egg.evaluation.transfer import MODEL_SELECTED_NATURAL
from v4egg.io import stores
from v4egg.stats.activation_scales import fraction_of_gradient_ascent
from v4egg.stats.inference import paired_wilcoxon

ASCENT = "gradient_ascent"
FRACTION = "fraction_of_gradient_ascent"
COLUMNS = [
    "arch",
    "judge",
    "shares_weights",
    "most_independent",
    "image",
    "energy_scale",
    "statistic",
    "unit",
    "value",
]


def table(
    meni: Sequence[str | Path],
    natural: Sequence[str | Path],
    ascent: Sequence[str | Path],
    judged_meni: str | Path,
    judged_natural: str | Path,
    transfer: str | Path,
) -> pd.DataFrame:
    """Responses to MENIs by lambda, against gradient ascent and natural images; one number per row.

    Responses are means over a unit's images. The natural image is the one of the pool that the generators rate highest.

    Args:
        meni: Stores of kind ``series``, for their images (read by the figure only).
        natural: Stores of kind ``natural`` (read by the figure only).
        ascent: Stores of kind ``mei`` of gradient ascent (read by the figure only).
        judged_meni: The ``judged`` store of the MENIs.
        judged_natural: The ``judged`` store of the natural images.
        transfer: The ``transfer`` store, for the responses to the images of gradient ascent.

    Returns:
        Columns: ``arch``, ``judge``, ``shares_weights``; ``most_independent``, whether the judge is the most
        independent one of the architecture; ``image`` (``meni``, ``model_selected_natural``); ``energy_scale``
        (lambda); ``statistic``; ``unit``; ``value``. Statistics of a unit: ``activation``,
        ``fraction_of_gradient_ascent`` (of the mean response to its gradient ascent images, where that is above 0) and
        ``ratio`` (of MENIs, to the natural image's, where that is above 0). Over units: ``q25``, ``median`` and ``q75``
        of the fraction, and ``n``; and of MENIs against the natural image ``median_ratio``, ``n_won``, ``n_units``,
        ``wilcoxon_p`` (two-sided paired Wilcoxon test), ``p_adjusted`` (corrected over all comparisons of one judge)
        and ``rank_biserial``.

    Raises:
        V4eggError: Gradient ascent images were not judged.
    """
    read = _read(judged_meni, judged_natural, transfer)
    rows: list[Row] = []
    for arch in map(str, read["arch"].values):
        of_arch = read.sel(arch=arch)
        shared = shares_weights_by_judge(of_arch)
        chosen = most_independent(shared)
        for judge in shared:
            rows += _rows(of_arch.sel(judge=judge), (arch, judge, shared[judge], judge == chosen))
    return with_adjusted_p(pd.DataFrame(rows, columns=COLUMNS), "statistic", "wilcoxon_p", ["judge"])


def _read(judged_meni: str | Path, judged_natural: str | Path, transfer: str | Path) -> xr.Dataset:
    """activation[arch, unit, setting, judge], natural[...], fractions of gradient ascent and shares_weights."""
    menis, searched_images = stores.load(judged_meni, "judged").load(), stores.load(judged_natural, "judged").load()
    scored = load_transfer(transfer)
    if ASCENT not in scored["method"].values:
        raise V4eggError(f"{transfer}: holds no {ASCENT} images, with which MENIs are compared; add it to the methods")
    places = {"arch": menis["arch"].values, "unit": menis["unit"].values, "judge": menis["judge"].values}
    ascent = scored["activation"].sel({"method": ASCENT}, drop=True).mean("sample").sel(places)
    natural = searched_images["activation"].isel(setting=0, sample=0, drop=True).sel(places)
    activation = menis["activation"].mean("sample")
    return xr.Dataset(
        {
            "activation": activation,
            "natural": natural,
            FRACTION: xr.apply_ufunc(fraction_of_gradient_ascent, activation, ascent),
            "natural_fraction": xr.apply_ufunc(fraction_of_gradient_ascent, natural, ascent),
            "ratio": activation / natural.where(natural > 0),
            "shares_weights": menis["shares_weights"],
        }
    )


def _rows(of_arch: xr.Dataset, head: Row) -> list[Row]:
    """The rows of one architecture and judge."""
    place = (*head, MODEL_SELECTED_NATURAL, np.nan)
    rows = _value_rows(place, {"activation": of_arch["natural"], FRACTION: of_arch["natural_fraction"]})
    for setting in of_arch["setting"].values:
        at = of_arch.sel(setting=setting)
        place = (*head, "meni", float(setting))
        rows += _value_rows(place, {name: at[name] for name in ("activation", FRACTION, "ratio")})
        rows += [(*place, name, "", value) for name, value in _against_natural(at).items()]
    return rows


def _value_rows(place: Row, measures: dict[str, xr.DataArray]) -> list[Row]:
    rows = [
        (*place, name, str(unit), float(value))
        for name, values in measures.items()
        for unit, value in zip(values["unit"].values, values.values, strict=True)
        if np.isfinite(value)
    ]
    fraction = measures[FRACTION].values
    over = {**quartiles(fraction), "n": finite(fraction).size}
    return rows + [(*place, name, "", value) for name, value in over.items()]


def _against_natural(at: xr.Dataset) -> dict[str, float]:
    """MENIs at one lambda against the model-selected natural image, over units."""
    menis, natural = at["activation"].values, at["natural"].values
    test = paired_wilcoxon(menis, natural)
    return {
        "median_ratio": median(at["ratio"].values),
        "n_won": float(np.sum(menis > natural)),
        "n_units": float(np.isfinite(menis - natural).sum()),
        "wilcoxon_p": test.p_value,
        "rank_biserial": test.rank_biserial,
    }
