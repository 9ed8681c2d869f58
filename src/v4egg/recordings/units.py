"""Unit ids: ``s190923-u007`` is a unit of session ``s190923``."""

from collections.abc import Sequence


def by_session(units: Sequence[str]) -> dict[str, list[str]]:
    """Group unit ids by the session that their prefix names.

    Args:
        units: ids such as ``s190923-u007``.

    Returns:
        Session -> its units, both in the order of their first appearance.

    Example:
        >>> by_session(["s1-u000", "s2-u003", "s1-u007"])
        {'s1': ['s1-u000', 's1-u007'], 's2': ['s2-u003']}
    """
    sessions: dict[str, list[str]] = {}
    for unit in units:
        sessions.setdefault(unit.rsplit("-", 1)[0], []).append(unit)
    return sessions
