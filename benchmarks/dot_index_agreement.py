"""How far two sets of compact models agree on which units detect dots: Spearman correlation of their dot indices.

Usage: python benchmarks/dot_index_agreement.py FIRST/dot_detector.zarr SECOND/dot_detector.zarr
"""

import argparse
from pathlib import Path

from scipy.stats import spearmanr

from v4egg.io import stores


def agreement(first: Path, second: Path) -> str:
    """One line: the number of shared units, the correlation and its p-value."""
    a, b = (stores.load(path, "dot_detector")["dot_index"].to_series().dropna() for path in (first, second))
    shared = a.index.intersection(b.index)
    correlation, p = spearmanr(a[shared], b[shared])
    return f"n = {len(shared)}, Spearman correlation {correlation:.2f}, p = {p:.1g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    options = parser.parse_args()
    print(agreement(options.first, options.second))


if __name__ == "__main__":
    main()
