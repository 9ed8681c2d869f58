"""Mistakes in a configuration as one line each: the key, what is wrong, what is known there, and what to do."""

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema import Draft202012Validator

from v4egg.errors import V4eggError
from v4egg.io.files import where_paths_start
from v4egg.registry import known_names

RENAMED = {  # key of an earlier version -> its name now, under the same parent
    "prior.fold": "patch_size",
    "encoders.training.average": "ema_decay",
    "encoders.architectures.*.training.average": "ema_decay",
    "encoders.architectures.*.core.fold": "patch_size",
    "encoders.architectures.*.core.beside": "concat_backbone",
    "encoders.architectures.*.readout.spread": "init_mu_range",
    "encoders.architectures.*.mixture": "combined",
    "encoders.architectures.*.groups": "core_groups",
    "synthesis.seeds": "samples",
    "synthesis.methods.*.caution": "uncertainty_penalty",
    "synthesis.methods.*.generator": "image_generator",
    "evolution.conditions.*.vary": "sweep",
    "evolution.conditions.*.generator": "image_generator",
    "closed_loop.emphasis": "oversample",
    "meni.seeds": "samples",
    "meni.caution": "uncertainty_penalty",
    "diverse.caution": "uncertainty_penalty",
    "adversarial.maximizing.seeds": "samples",
}
RENAMED_VALUES = {("evolution.conditions.*.neurons", "outside"): "external"}
NAMED = ("sessions", "encoders.architectures", "encoders.architectures.*.core_groups", "evolution.conditions")
_TYPES = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}
_TYPES |= {"array": "a list", "object": "a mapping", "null": "null"}


class ConfigurationError(V4eggError):
    """Mistakes in a configuration.

    Attributes:
        lines: one for each mistake.
    """

    def __init__(self, lines: Sequence[str]):
        super().__init__("; ".join(lines))
        self.lines = list(lines)

    def __str__(self) -> str:
        return "\n".join(self.lines)


def mistakes(config: Any, schema: Mapping[str, Any]) -> list[str]:
    """All mistakes of a configuration against its schema, one line each; none where it is valid."""
    unusable = list(_unusable_names(config, ""))
    if unusable:
        return unusable
    errors = sorted(_Validator(schema).iter_errors(config), key=lambda error: [str(part) for part in error.path])
    listed = [list(error.absolute_path) for error in errors if error.validator == "enum"]  # which says more than types
    errors = [error for error in errors if error.validator != "type" or list(error.absolute_path) not in listed]
    return list(dict.fromkeys(line for error in errors for line in _explained(error)))


def renamed(key: str) -> str | None:
    """The name that a key of an earlier version has now, under the same parent."""
    return next(
        (new for old, new in RENAMED.items() if fnmatchcase(key, old) and key.count(".") == old.count(".")), None
    )


def _unusable_names(value: Any, where: str) -> Iterator[str]:
    """Names that YAML reads as something other than text."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if isinstance(key, str):
                yield from _unusable_names(entry, f"{where}.{key}" if where else key)
                continue
            place = f"configuration key '{where}'" if where else "the configuration"
            words = " (on, off, yes and no are true and false in YAML)" if isinstance(key, bool) else ""
            quoted = {True: "on", False: "off", None: "null"}.get(key, key) if not _is_number(key) else key
            remedy = f'write it in quotes, as "{quoted}"'
            if _is_number(key) and any(fnmatchcase(where, pattern) for pattern in NAMED):
                remedy = f"begin it with a letter, as s{key}"
            yield f"{place}: the name {_yaml(key)} is no text{words}; {remedy}"
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _unusable_names(entry, f"{where}.{index}")


def _explained(error: jsonschema.ValidationError) -> list[str]:
    key = ".".join(str(part) for part in error.absolute_path)
    where = f"configuration key '{key}'" if key else "the configuration"
    schema: Any = error.schema  # a mapping, and the value below fits the validator, in errors of validation
    expected: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        keys = list(schema.get("properties", {}))
        return [_unknown(f"{key}.{name}" if key else name, name, keys) for name in instance if name not in keys]
    if error.validator == "required":
        missing = [name for name in expected if name not in instance]
        return [f"configuration key '{f'{key}.{name}' if key else name}' is missing; give it" for name in missing]
    if error.validator == "type":
        quotes = "; write it in quotes" if expected == "string" and not isinstance(instance, dict | list) else ""
        return [f"{where} is {_as_written(instance)}; it must be {_types(expected)}{quotes}"]
    if error.validator == "pattern":
        return [_misnamed(where, error)]
    if error.validator in ("enum", "const"):
        return [_not_among(key, instance, schema.get("enum", [schema.get("const")]))]
    if error.validator in ("x-exists", "x-multiple-of"):
        return [f"{where}: {error.message}"]
    if error.validator == "not":
        return [f"{where} is {instance!r}; it must be odd"]
    return [f"{where}: {error.message}; correct it (config/README.md lists all keys)"]


def _unknown(key: str, name: str, choices: Sequence[str]) -> str:
    new = renamed(key)
    if new is not None:
        return f"configuration key '{key}' is now called '{new}'; rename it"
    return f"configuration key '{key}' is unknown; {known_names(name, choices).replace('nown:', 'nown here:')}"


def _not_among(key: str, value: Any, choices: Sequence[Any]) -> str:
    for (pattern, old), new in RENAMED_VALUES.items():
        if value == old and fnmatchcase(key, pattern):
            return f"configuration key '{key}' is '{old}', which is now called '{new}'; rename it"
    return f"configuration key '{key}' is {_as_written(value)}; {known_names(value, choices)}"


def _misnamed(where: str, error: jsonschema.ValidationError) -> str:
    """A text, or the name of a key, with letters that it must not have: it becomes a part of paths."""
    allowed = "letters, digits, _ and -" if "_-]" in str(error.validator_value) else "letters, digits and _"
    if "propertyNames" in error.absolute_schema_path:
        return f"{where}: the name '{error.instance}' must begin with a letter and hold {allowed} only; rename it"
    return f"{where} is '{error.instance}'; it must hold {allowed} only; rename it"


def _as_written(value: Any) -> str:
    """A value as YAML has it."""
    return _yaml(value) if value is None or isinstance(value, bool) else repr(value)


def _types(names: str | Sequence[str]) -> str:
    return " or ".join(_TYPES[name] for name in ([names] if isinstance(names, str) else names))


def _yaml(value: Any) -> str:
    return {True: "true", False: "false", None: "null"}.get(value, str(value)) if not _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _exists(validator: Any, kind: str, value: Any, schema: Mapping[str, Any]) -> Iterator[jsonschema.ValidationError]:
    """Keyword ``x-exists``: a path to a file or a folder that is there."""
    if isinstance(value, str) and not (Path(value).is_file() if kind == "file" else Path(value).is_dir()):
        yield jsonschema.ValidationError(f"there is no {kind} {value}; {where_paths_start(value)}")


def _multiple_of(
    validator: Any, multiples: Mapping[str, str], value: Any, schema: Mapping[str, Any]
) -> Iterator[jsonschema.ValidationError]:
    """Keyword ``x-multiple-of``: options that are multiples of others; those that are not given have their defaults."""
    if not isinstance(value, Mapping):
        return
    for option, divisor in multiples.items():
        number, of = (value.get(name, schema["properties"][name]["default"]) for name in (option, divisor))
        if isinstance(number, int) and isinstance(of, int) and of and number % of:
            yield jsonschema.ValidationError(
                f"{option} is {number}, which is not divisible by {divisor}, {of}; change one"
            )


_CHECKER = Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
).redefine("number", lambda _, value: _is_number(value) and math.isfinite(value))
_Validator = jsonschema.validators.extend(
    Draft202012Validator, {"x-exists": _exists, "x-multiple-of": _multiple_of}, type_checker=_CHECKER
)
