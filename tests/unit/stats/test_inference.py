"""Intervals, paired tests and slopes: against scipy, under rescaling, and on degenerate input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from v4egg.seeding import numpy_generator
from v4egg.stats import inference as statistics

seeds = st.integers(0, 10_000)


def test_bootstrap_interval_covers_and_is_keyed():
    draw = numpy_generator("coverage")
    intervals = [statistics.bootstrap_interval(draw.normal(size=40), np.mean, ("b", k), n=300) for k in range(200)]
    assert 0.88 < np.mean([low < 0 < high for low, high in intervals]) < 0.99
    values = [*draw.normal(size=30), np.nan]
    first = statistics.bootstrap_interval(values, np.median, ("c",))
    assert first == statistics.bootstrap_interval(values[:-1], np.median, ("c",))
    narrow = statistics.bootstrap_interval(values, np.median, ("c",), level=0.5)
    assert first[0] <= narrow[0] <= np.nanmedian(values) <= narrow[1] <= first[1]
    assert statistics.bootstrap_interval([2.0, 2.0], np.mean, ("d",)) == (2.0, 2.0)
    assert np.isnan(statistics.bootstrap_interval([1.0, np.nan], np.mean, ("e",))).all()


def test_paired_wilcoxon():
    draw = numpy_generator("wilcoxon")
    x, y = draw.normal(0.4, 1, 40), draw.normal(size=40)
    found = statistics.paired_wilcoxon([*x, np.nan, 3], [*y, 1, 3])
    assert found.n_pairs == 40
    assert found.p_value == pytest.approx(stats.wilcoxon(x, y).pvalue)
    above, below = (
        stats.wilcoxon(x, y, alternative="greater").statistic,
        stats.wilcoxon(y, x, alternative="greater").statistic,
    )
    assert found.rank_biserial == pytest.approx((above - below) / (above + below))
    assert statistics.paired_wilcoxon(y, x).rank_biserial == pytest.approx(-found.rank_biserial)
    assert statistics.paired_wilcoxon(y + 1, y).rank_biserial == 1
    assert statistics.paired_wilcoxon(x, x) == (1.0, 0.0, 0)
    assert np.isnan(statistics.paired_wilcoxon([np.nan], [1.0]).p_value)


@given(seed=seeds, gain=st.floats(1e-6, 1e6), slope=st.floats(-5, 5))
@settings(max_examples=30, deadline=None)
def test_huber_slope_is_scale_equivariant_and_robust(seed, gain, slope):
    draw = numpy_generator("huber", seed)
    x = draw.uniform(1, 3, 40)
    y = slope * x + 0.1 * draw.normal(size=40)
    y[:3] += 100
    found = statistics.huber_slope([*x, np.nan], [*y, 1])
    assert found == pytest.approx(slope, abs=0.1)
    assert statistics.huber_slope(x, gain * y) == pytest.approx(gain * found, rel=1e-4, abs=1e-4 * gain)
    assert statistics.huber_slope(gain * x, y) == pytest.approx(found / gain, rel=1e-4, abs=1e-4 / gain)


def test_huber_slope_of_exact_and_degenerate_lines():
    x = np.arange(1.0, 6)
    assert statistics.huber_slope(x, 2.5 * x) == pytest.approx(2.5)
    assert statistics.huber_slope(x, 0 * x) == 0
    assert statistics.huber_slope([1, 1], [2, 2]) == pytest.approx(2)
    assert np.isnan(statistics.huber_slope(0 * x, x))
    assert np.isnan(statistics.huber_slope([1], [2]))
