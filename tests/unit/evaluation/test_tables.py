"""What tables share: corrected p-values within a family, and medians of what is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from v4egg.evaluation.tables.common import median, quartiles, with_adjusted_p
from v4egg.stats.inference import adjusted_p_values

P = [0.01, 0.04, 0.03, np.nan, 0.2]


def test_p_values_are_corrected_within_their_family_and_stand_beside_the_plain_ones():
    rows = [("a", "n", 5.0), *[("a", "p", p) for p in P[:2]], *[("b", "p", p) for p in P[2:]]]
    table = pd.DataFrame(rows, columns=["judge", "statistic", "value"])
    found = with_adjusted_p(table, "statistic", "p", ["judge"])
    assert list(found["statistic"]) == ["n", *["p", "p_adjusted"] * 5]
    corrected = found[found["statistic"] == "p_adjusted"].groupby("judge")["value"].agg(list)
    assert corrected["a"] == pytest.approx(list(false_discovery_control(P[:2])))
    assert corrected["b"][0] == pytest.approx(0.06)
    assert np.isnan(corrected["b"][1])
    together = with_adjusted_p(table, "statistic", "p", [])
    known = together.loc[together["statistic"] == "p_adjusted", "value"].dropna()
    assert list(known) == pytest.approx(list(false_discovery_control([0.01, 0.04, 0.03, 0.2])))
    assert len(with_adjusted_p(table[:1], "statistic", "p", [])) == 1


def test_unknown_p_values_neither_count_nor_change():
    assert adjusted_p_values([0.02, np.nan]).tolist()[:1] == [0.02]
    assert np.isnan(adjusted_p_values([np.nan])).all()


def test_medians_are_of_known_values():
    assert median([1.0, np.nan, 3.0]) == 2
    assert np.isnan(median([np.nan]))
    assert quartiles([0.0, 1.0, np.inf, 2.0]) == {"q25": 0.5, "median": 1.0, "q75": 1.5}
    assert np.isnan(list(quartiles([]).values())).all()
