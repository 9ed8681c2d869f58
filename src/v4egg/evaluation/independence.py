"""The one rule for which judge is the most independent of the images it scores."""

from collections.abc import Mapping

import xarray as xr

ENCODER_JUDGES = ("validators", "across")  # in increasing order of independence; every other judge is external
GENERATORS = "generators"


def most_independent(shares_weights: Mapping[str, bool]) -> str | None:
    """The most independent judge among those that have scored some images.

    A judge that shares weights with the generators is never chosen. Among the others, an external judge (which this
    workflow did not train, such as the simulated brain or the published compact models) comes first, then ``across``
    (the ensemble of other architectures), then ``validators`` (other members of the same architecture). Of several
    external judges the last one named is chosen.

    Args:
        shares_weights: Name of each judge -> whether it shares weights with the generators.

    Returns:
        The name of the judge, or None where every judge shares weights.

    Example:
        >>> most_independent({"generators": True, "validators": False, "across": False})
        'across'
        >>> most_independent({"generators": True, "across": False, "simulated_brain": False})
        'simulated_brain'
    """
    independent = [judge for judge, shared in shares_weights.items() if not shared and judge != GENERATORS]
    return max(reversed(independent), key=_rank, default=None)


def shares_weights_by_judge(judged: xr.Dataset) -> dict[str, bool]:
    """Whether each judge that has scored some image shares weights with the generators.

    Args:
        judged: The images of one architecture: ``activation`` (..., judge) and ``shares_weights`` (judge).
    """
    scored = judged["activation"].notnull()
    has_scores = scored.any([dim for dim in scored.dims if dim != "judge"]).values
    names = map(str, judged["judge"].values)
    pairs = zip(names, judged["shares_weights"].values, has_scores, strict=True)
    return {name: bool(shared) for name, shared, has_score in pairs if has_score}


def _rank(judge: str) -> int:
    return ENCODER_JUDGES.index(judge) if judge in ENCODER_JUDGES else len(ENCODER_JUDGES)
