"""The configuration: checked against the schema, defaults filled in, every mistake one line that names its key."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from v4egg.workflow.configuration_checks import check_consistency, check_searches, chosen_entries
from v4egg.workflow.configuration_errors import ConfigurationError, mistakes


def check(config: Mapping[str, Any], schema_path: str | Path) -> dict[str, Any]:
    """The configuration with every default filled in.

    Args:
        config: as it was read.
        schema_path: the schema, workflow/schemas/config.schema.yaml.

    Raises:
        V4eggError: unknown keys, wrong types or values (all of them, a line each), or settings that contradict each
            other (the first of them); names the keys.
    """
    schema = yaml.load(Path(schema_path).read_text(), _Loader)
    filled = with_defaults(_beside_default_architectures(copy.deepcopy(dict(config)), schema), schema)
    problems = mistakes(filled, schema)
    if problems:
        raise ConfigurationError(problems)
    sessions = list(filled["sessions"])
    filled["sessions"] = chosen_entries(filled["sessions"], filled["use_sessions"], "use_sessions", "sessions")
    encoders = filled["encoders"]
    names = ("encoders.use_architectures", "encoders.architectures")
    encoders["architectures"] = chosen_entries(encoders["architectures"], encoders["use_architectures"], *names)
    check_consistency(filled, sessions)
    check_searches(filled, expanded(filled["evolution"]["conditions"]))
    return filled


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def expanded(conditions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Conditions of evolution, each followed by those that its ``sweep`` asks for.

    ``ga`` with ``sweep: {population: [10, 40]}`` gives ``ga``, ``ga-population-10`` and ``ga-population-40``. These
    have ``swept``, from which ``condition`` which ``setting`` departs; none has ``sweep`` any longer.
    """
    result = {}
    for name, condition in conditions.items():
        base = {key: value for key, value in condition.items() if key != "sweep"}
        result[name] = base
        for setting, values in condition["sweep"].items():
            for value in values:
                settings = {**base["settings"], setting: value}
                swept = {"condition": name, "setting": setting}
                result[f"{name}-{setting}-{value:g}"] = {**base, "settings": settings, "swept": swept}
    return result


def with_defaults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """``value`` with the defaults of ``schema`` put where a key is absent, at every depth.

    The options of a part that is chosen by name, such as a core, stay as they are given: its code has the defaults.
    """
    root = schema if root is None else root
    schema = _resolved(schema, root)
    if not isinstance(value, dict):
        return value
    properties = {**schema.get("properties", {}), **_filled_branch(value, schema)}
    for key, sub in properties.items():
        if key not in value and "default" in sub:
            value[key] = copy.deepcopy(sub["default"])
    for key in value:
        sub = properties.get(key, schema.get("additionalProperties"))
        if isinstance(sub, Mapping):
            value[key] = with_defaults(value[key], sub, root)
    return value


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    return root["$defs"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema


def _filled_branch(value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Properties of the branch that the value chooses, where its defaults are to be filled in."""
    for branch in schema.get("allOf", ()):
        conditions = branch["if"]["properties"].items()
        if branch.get("x-filled") and all(value.get(key) == condition["const"] for key, condition in conditions):
            return {key: sub for key, sub in branch["then"]["properties"].items() if sub}
    return {}


def _beside_default_architectures(config: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Architectures that are given stand beside the default ones; null removes one of either."""
    encoders = config.get("encoders")
    if not isinstance(encoders, dict) or not isinstance(architectures := encoders.get("architectures"), dict):
        return config
    default = _resolved(schema["properties"]["encoders"], schema)["properties"]["architectures"]["default"]
    merged = {**copy.deepcopy(default), **architectures}
    encoders["architectures"] = {name: entry for name, entry in merged.items() if entry is not None}
    return config
