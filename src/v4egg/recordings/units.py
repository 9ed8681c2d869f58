"""Unit ids: ``s190923-u007`` is a unit of session ``s190923``."""

from collections.abc import Sequence


def by_session(units: Sequence[str]) -> dict[str, list[str]]:
    """Unit ids grouped by the session that their prefix names (``s190923-u007`` belongs to ``s190923``)."""
    groups: dict[str, list[str]] = {}
    for unit in units:
        groups.setdefault(unit.rsplit("-", 1)[0], []).append(unit)
    return groups
