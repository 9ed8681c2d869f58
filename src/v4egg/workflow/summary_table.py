"""The closing table in the terminal: a run's summary as plain text."""

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

POOLED = "all"  # all sessions, in the rows of summary["transfer"]
_SCALES = {  # measure -> what is 1 on its scale
    "normalized_activation": "model-selected natural",
    "normalized_to_best_natural": "judge's best natural",
    "normalized_at_matched_contrast": "matched contrast",
}
_IMAGE_NOTE = (
    "median normalized activation over units: 0 mean natural image, 1 model-selected natural image; "
    "* shares weights with the generators"
)
_SCALE_NOTE = (
    "median normalized activation over units [95% interval]: 0 mean natural image, 1 the natural image that the column "
    "names; matched contrast: as model-selected natural, with images at its contrast"
)
_COMPACT = ("r2_to_teacher", "correlation_to_average", "parameters", "compression")  # medians over units


def table(summary: Mapping[str, Any]) -> str:
    """Format a run's summary as plain text: encoders, images by judge and by scale, compact models, and time by stage.

    Args:
        summary: the contents of ``summary.json``.

    Returns:
        Tables in aligned columns, separated by empty lines.
    """
    parts = [_encoder_table(summary), _image_table(summary["mei"]), _scale_table(summary)]
    parts += [_compact_table(summary.get("compact", {})), _seconds_table(summary["seconds"])]
    return "\n\n".join(part for part in parts if part)


def _encoder_table(summary: Mapping[str, Any]) -> str:
    extras = ("ensemble_gain", "correlation_to_truth")
    models = {
        **summary["encoders"],
        **summary.get("combined_architectures", {}),
        **summary["reference_models"],
        **summary.get("baselines", {}),
    }
    rows = [
        [model, session, entry["n_units"], entry["correlation_to_average"], _interval(entry), *map(entry.get, extras)]
        for model, sessions in models.items()
        for session, entry in sessions.items()
    ]
    headers = ["model", "session", "units", "test correlation", "95% interval", "ensemble gain", "to truth"]
    if all(row[-1] is None for row in rows):
        rows, headers = [row[:-1] for row in rows], headers[:-1]
    return tabulate(rows, headers, floatfmt=".3f", missingval="-") if rows else ""


def _interval(entry: Mapping[str, Any]) -> str | None:
    return f"{entry['ci_low']:.3f} to {entry['ci_high']:.3f}" if "ci_low" in entry else None


def _image_table(images: Mapping[str, Any]) -> str:
    entries = [(method, arch, entry) for method, archs in images.items() for arch, entry in archs.items()]
    judges = list(dict.fromkeys(judge for *_, entry in entries for judge in entry.get("judges", {})))
    rows = [
        [method, arch, entry["n_images"], entry["seconds_per_image"]]
        + [_marked(entry.get("judges", {}).get(judge)) for judge in judges]
        for method, arch, entry in entries
    ]
    headers = ["images", "encoder", "n", "s / image", *judges]
    text = tabulate(rows, headers, floatfmt=".2f", missingval="-")
    return f"{text}\n{_IMAGE_NOTE}" if rows else ""


def _scale_table(summary: Mapping[str, Any]) -> str:
    """Medians on all scales with n and intervals, under the most independent judge of each architecture."""
    against = summary.get("transfer", {}).get("against_natural", [])
    by_images: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    for row in against:
        entry = summary["mei"].get(row["method"], {}).get(row["arch"], {})
        if row["session"] == POOLED and row["judge"] == entry.get("most_independent_judge"):
            by_images.setdefault((row["method"], row["arch"], row["judge"]), {})[row["measure"]] = row
    rows = [
        [*head, max(row["n"] for row in measures.values()), *(_median(measures.get(scale)) for scale in _SCALES)]
        for head, measures in by_images.items()
    ]
    headers = ["images", "encoder", "most independent judge", "units", *_SCALES.values()]
    return f"{tabulate(rows, headers, missingval='-')}\n{_SCALE_NOTE}" if rows else ""


def _median(row: Mapping[str, Any] | None) -> str | None:
    """A median with its interval, where it is known."""
    if row is None or row["median"] is None:
        return None
    interval = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row['median']:.2f}{interval}"


def _marked(judged: Mapping[str, Any] | None) -> str | None:
    if judged is None or judged["median_normalized_activation"] is None:
        return None
    return f"{judged['median_normalized_activation']:.2f}{'*' if judged['shares_weights'] else ' '}"


def _compact_table(sessions: Mapping[str, Any]) -> str:
    rows = [
        [session, stage, *(numbers.get(name) for name in _COMPACT)]
        for session, entry in sessions.items()
        for stage, numbers in entry.items()
        if isinstance(numbers, dict)
    ]
    headers = ["compact models", "stage", *(name.replace("_", " ") for name in _COMPACT)]
    return tabulate(rows, headers, floatfmt=("", "", ".3f", ".3f", ".0f", ".0f"), missingval="-") if rows else ""


def _seconds_table(seconds: Mapping[str, float]) -> str:
    rows = [[stage, value] for stage, value in seconds.items()]
    return tabulate(rows, ["stage", "seconds"], floatfmt=".1f") if rows else ""
