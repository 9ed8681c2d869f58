"""The tables of docs/results.md and docs/results, rendered from docs/results/data. ``make docs`` writes them.

Each topic has a CSV file with one number per row, ``runs.csv`` holds the command and the date behind each number, and
``claims.csv`` the table that opens docs/results.md. A page holds markers, between which the tables stand::

    <!-- table: transfer table=configured quantity="units above 1 (%)" columns=judge -->
    <!-- end -->

``table``, ``method`` and every other column select rows (alternatives are separated by ``|``), ``columns``
names the column whose values stand side by side, ``headline`` keeps the rows marked so, ``command`` adds the commands.
``<!-- claims -->`` is the opening table, ``<!-- runs -->`` the commands of all tables of the page.
"""

import csv
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from v4egg.errors import V4eggError

COLUMNS = (
    "key", "headline", "table", "setting", "method", "quantity", "judge", "reference", "n", "estimate", "low", "high",
    "p", "effect", "run",
)  # fmt: skip
_DESCRIBES = ("setting", "method", "quantity", "judge", "reference", "n")
_MARKER = re.compile(r"(<!-- (table: [^\n]*|claims|runs) -->\n).*?(<!-- end -->)", re.DOTALL)
_CLAIM_HEADS = ("claim", "paper", "here", "n", "reference; judge", "figure", "run", "caveat")

_PUBLIC = "config/cowley2023"  # in a command: it reads the public recordings
_RECORDINGS = (
    "After `export V4EGG_DATA=FOLDER`, where `FOLDER` holds `V4_compact_models`; without it the recordings are "
    "downloaded into `data/`:"
)

Row = Mapping[str, str]


@dataclass
class Numbers:
    """All numbers of the results pages.

    Attributes:
        topics: rows of each topic's file, by the file's name.
        runs: date and command of each run, by its name.
        claims: rows of the opening table.
    """

    topics: dict[str, list[dict[str, str]]]
    runs: dict[str, dict[str, str]]
    claims: list[dict[str, str]]

    def keyed(self) -> dict[str, str]:
        """Text of each number that has a key, such as ``1.20 [1.02, 1.36]``."""
        return {row["key"]: number(row) for rows in self.topics.values() for row in rows if row["key"]}


def read_numbers(folder: Path) -> Numbers:
    """Read docs/results/data.

    Raises:
        V4eggError: a file has other columns, a number has no run in runs.csv, or two numbers have one key.
    """
    files = {path.stem: _read(path) for path in sorted(folder.glob("*.csv"))}
    runs = {row["run"]: row for row in files.pop("runs")}
    claims = files.pop("claims")
    keys: set[str] = set()
    for topic, rows in files.items():
        for row in rows:
            if tuple(row) != COLUMNS:
                raise V4eggError(f"{topic}.csv: columns are {', '.join(row)}; expected {', '.join(COLUMNS)}")
            if row["run"] not in runs:
                raise V4eggError(f"{topic}.csv: run '{row['run']}' is not in runs.csv; add its date and command")
            if row["key"] in keys:
                raise V4eggError(f"{topic}.csv: key '{row['key']}' stands twice; keys are unique over all files")
            keys |= {row["key"]} - {""}
    return Numbers(files, runs, claims)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def number(row: Row) -> str:
    """``estimate [low, high]``, ``estimate`` or, without an estimate, ``low to high``.

    Example:
        >>> number({"estimate": "1.20", "low": "0.97", "high": "1.37"})
        '1.20 [0.97, 1.37]'
    """
    if not row["estimate"]:
        return f"{row['low']} to {row['high']}" if row["low"] else ""
    return f"{row['estimate']} [{row['low']}, {row['high']}]" if row["low"] else row["estimate"]


def render(page: str, numbers: Numbers) -> str:
    """The page with every table between its markers replaced by the current one.

    Raises:
        V4eggError: a marker names a topic, a column or rows that there are not.
    """

    def replaced(match: re.Match[str]) -> str:
        kind = match.group(2)
        if kind == "claims":
            text = _claims(numbers)
        elif kind == "runs":
            text = _runs(_used_runs(page, numbers), numbers)
        else:
            text = _table(kind.removeprefix("table: "), numbers)
        return f"{match.group(1)}{text}\n{match.group(3)}"

    return _MARKER.sub(replaced, page)


def _used_runs(page: str, numbers: Numbers) -> list[str]:
    markers = [match.group(2) for match in _MARKER.finditer(page)]
    tables = [marker.removeprefix("table: ") for marker in markers if marker.startswith("table: ")]
    return _distinct(row["run"] for marker in tables for row in _selected(marker, numbers)[0])


def _selected(marker: str, numbers: Numbers) -> tuple[list[dict[str, str]], set[str], str]:
    """Rows that a marker asks for, its flags, and the column whose values stand side by side."""
    topic, *words = shlex.split(marker)
    if topic not in numbers.topics:
        raise V4eggError(f"marker '{marker}': there is no {topic}.csv in docs/results/data")
    flags = {word for word in words if "=" not in word}
    choices = dict(word.split("=", 1) for word in words if "=" in word)
    columns = choices.pop("columns", "")
    if unknown := ({*choices, columns} - {"", *COLUMNS}) | (flags - {"headline", "command"}):
        raise V4eggError(f"marker '{marker}': unknown: {', '.join(sorted(unknown))}")
    rows = numbers.topics[topic]
    if "headline" in flags:
        rows = [row for row in rows if row["headline"]]
    for column, values in choices.items():
        rows = [row for row in rows if row[column] in values.split("|")]
    if not rows:
        raise V4eggError(f"marker '{marker}' selects no row of {topic}.csv")
    return rows, flags, columns


def _table(marker: str, numbers: Numbers) -> str:
    rows, flags, columns = _selected(marker, numbers)
    shared = {name: rows[0][name] for name in _DESCRIBES if len({row[name] for row in rows}) == 1 and name != columns}
    heads = [name for name in _DESCRIBES if name not in shared and name != columns]
    body = _side_by_side(rows, heads, columns) if columns else _one_below_another(rows, heads)
    caption = _caption({name: value for name, value in shared.items() if value}, rows)
    if "command" in flags:
        caption += " " + " ".join(_run(run, numbers) for run in _distinct(row["run"] for row in rows))
    return "\n".join([caption, "", *body])


def _caption(shared: Mapping[str, str], rows: Sequence[Row]) -> str:
    signs = {"judge": "judge: ", "reference": "reference: ", "n": "n = "}
    runs = _distinct(row["run"] for row in rows)
    first = [name for name in ("quantity", "setting", "method") if name in shared]
    parts = [signs.get(name, "") + shared[name] for name in dict.fromkeys([*first, *shared])]
    text = "; ".join([*parts, f"{'run' if len(runs) == 1 else 'runs'} {', '.join(runs)}"])
    return f"*{text if text.startswith('n = ') else text[0].upper() + text[1:]}.*"


def _one_below_another(rows: Sequence[Row], heads: Sequence[str]) -> list[str]:
    more = [name for name in ("p", "effect") if any(row[name] for row in rows)]
    estimate = [] if not any(map(number, rows)) else [_estimate_head(rows)]
    lines = [
        [*(row[name] for name in heads), *([number(row)] if estimate else []), *(row[name] for name in more)]
        for row in rows
    ]
    return markdown([*heads, *estimate, *more], lines)


def _estimate_head(rows: Sequence[Row]) -> str:
    return "estimate [95% CI]" if any(row["estimate"] and row["low"] for row in rows) else "estimate"


def _side_by_side(rows: Sequence[Row], heads: Sequence[str], columns: str) -> list[str]:
    numbers_of = {
        value: _distinct(row["n"] for row in rows if row[columns] == value) for value in _values(rows, columns)
    }
    if "n" in heads and all(len(counts) == 1 for counts in numbers_of.values()):
        heads = [name for name in heads if name != "n"]
        titles = [f"{value} (n = {counts[0]})" if counts[0] else value for value, counts in numbers_of.items()]
    else:
        titles = list(numbers_of)
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        line = cells.setdefault(tuple(row[name] for name in heads), {})
        if row[columns] in line:
            raise V4eggError(f"table '{row['table']}': two numbers for {row[columns]} in one line; select one of them")
        line[row[columns]] = number(row) + (f" (p = {row['p']})" if row["p"] else "")
    lines = [[*line, *(entries.get(value, "") for value in numbers_of)] for line, entries in cells.items()]
    return markdown([*heads, *titles], lines)


def _values(rows: Sequence[Row], column: str) -> list[str]:
    return _distinct(row[column] for row in rows)


def _claims(numbers: Numbers) -> str:
    keyed = numbers.keyed()
    lines = []
    for row in numbers.claims:
        try:
            here, caveat = row["here"].format_map(keyed), row["caveat"].format_map(keyed)
        except KeyError as error:
            raise V4eggError(f"claims.csv: key {error} belongs to no number") from None
        page, run = row["page"], row["run"]
        if run not in numbers.runs:
            raise V4eggError(f"claims.csv: run '{run}' is not in runs.csv; add its date and command")
        lines.append([
            row["claim"], row["paper"], here, row["n"], row["against"], f"`{row['figure']}`" if row["figure"] else "",
            f"[{run}](results/{page}.md#runs)", caveat,
        ])  # fmt: skip
    return "\n".join(markdown(_CLAIM_HEADS, lines))


def _runs(runs: Iterable[str], numbers: Numbers) -> str:
    lines = [f"- {run}, {_run(run, numbers)}" for run in runs]
    return "\n".join([_RECORDINGS, "", *lines] if any(_PUBLIC in line for line in lines) else lines)


def _run(run: str, numbers: Numbers) -> str:
    return f"{numbers.runs[run]['date']}: `{numbers.runs[run]['command']}`"


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table.

    Example:
        >>> markdown(["judge", "n"], [["validators", "88"]])
        ['| judge | n |', '|---|---|', '| validators | 88 |']
    """
    rows = ["| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in [heads, *lines]]
    return [rows[0], "|" + "---|" * len(heads), *rows[1:]]


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def pages(root: Path) -> list[Path]:
    """The pages that hold rendered tables."""
    return [root / "docs/results.md", *sorted((root / "docs/results").glob("*.md"))]


def main(root: Path) -> None:
    """Render every page again."""
    numbers = read_numbers(root / "docs/results/data")
    for page in pages(root):
        page.write_text(render(page.read_text(), numbers))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
