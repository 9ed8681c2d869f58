"""Compare conditions of an evolution experiment: paired Wilcoxon tests over the neurons that they share.

Usage: python benchmarks/compare_evolutions.py RESULTS/evolution FIRST SECOND [SECOND ...]

FIRST and SECOND are conditions, each a store of that folder. For every second condition one line is printed: the number
of neurons, the medians of ``evolved_over_natural``, how many neurons have the higher value under the first condition,
and the p-value, which is not corrected for the number of comparisons.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from v4egg.io import stores


def compare(first: Path, second: Path) -> str:
    """One line about two conditions."""
    a, b = (stores.load(path, "evolution")["evolved_over_natural"].to_series().dropna() for path in (first, second))
    shared = a.index.intersection(b.index)
    x, y = a[shared].to_numpy(float), b[shared].to_numpy(float)
    p = wilcoxon(x, y).pvalue if np.any(x != y) else 1.0
    medians = f"{np.median(x):.2f} against {np.median(y):.2f}"
    return f"{first.stem} against {second.stem}: n = {len(x)}, {medians}, higher in {(x > y).sum()}, p = {p:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("first")
    parser.add_argument("second", nargs="+")
    options = parser.parse_args()
    for name in options.second:
        print(compare(options.folder / f"{options.first}.zarr", options.folder / f"{name}.zarr"))


if __name__ == "__main__":
    main()
