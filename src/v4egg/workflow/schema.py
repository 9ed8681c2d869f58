"""The schema of the configuration, workflow/schemas/config.schema.yaml, generated from typed options by ``make docs``.

Planning a run reads the schema, and neither the models here nor the code that they configure. What JSON Schema has no
word for is marked with ``x-``: see :mod:`v4egg.registry` for choices from a registry, and

- ``x-absent``: an optional key without a default; it is not there where it is not given
- ``x-internal``: an option that no configuration has
- ``x-filled``: a branch whose defaults are filled in; other parts that are chosen by name stay as they are given
- ``x-exists``: a path to a ``file`` or ``folder`` that has to be there
- ``x-multiple-of``: options that are multiples of other options, by name
"""

from collections.abc import Mapping
from typing import Any

import yaml

from v4egg.errors import V4eggError
from v4egg.registry import Entry, Options, load
from v4egg.workflow.models.configuration import Configuration

Schema = dict[str, Any]
HEAD = "# Generated from the typed options by `make docs`; change them and not this file.\n"


def configuration_schema() -> Schema:
    """The schema as a mapping."""
    builder = _Builder()
    root = builder.model(Configuration)
    root = builder.definitions.pop(root["$ref"].rsplit("/", 1)[-1])
    root = _with_sections(root, builder)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "v4egg configuration"}
    return {**head, **root, "$defs": dict(sorted(builder.definitions.items()))}


def schema_text() -> str:
    """workflow/schemas/config.schema.yaml."""
    return HEAD + yaml.dump(
        configuration_schema(), Dumper=_Dumper, sort_keys=False, width=118, allow_unicode=True, default_flow_style=None
    )


class _Dumper(yaml.SafeDumper):
    """Writes a mapping as often as it stands, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True


def _with_sections(root: Schema, builder: "_Builder") -> Schema:
    """The root with a section for each entry of the registry that ``x-sections`` names, after ``natural``."""
    registry = load(root.pop("x-sections"))
    sections = {name: {**builder.options(entry), "default": {}} for name, entry in registry.items()}
    properties: Schema = {}
    for key, value in root["properties"].items():
        properties[key] = value
        if key == "natural":
            properties |= sections
    return {**root, "properties": properties}


def definition_of(model: type[Options]) -> str:
    """The name of a model's definition in the schema: its module and its class, since classes may share a name."""
    return f"{model.__module__.removeprefix('v4egg.')}.{model.__name__}"


class _Builder:
    """Turns pydantic's schemas of options into those of the configuration."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self.raw: dict[str, Schema] = {}

    def model(self, model: type[Options]) -> Schema:
        """A reference to the definition of a model."""
        raw = model.model_json_schema()
        for name, nested in raw.pop("$defs", {}).items():
            self._define(name, nested)
        self._define(definition_of(model), raw)
        return {"$ref": f"#/$defs/{definition_of(model)}"}

    def options(self, entry: Entry) -> Schema:
        """A reference to the definition of an entry's options."""
        return self.model(load(entry.target))

    def _define(self, name: str, raw: Schema) -> None:
        if name not in self.raw:
            self.raw[name] = raw
            self.definitions[name] = self._object(raw)
        elif self.raw[name] != raw:
            raise V4eggError(f"two parts of the configuration are called {name}; rename the class of one")

    def _object(self, raw: Schema) -> Schema:
        """An object: its properties, and branches by the names that some of them choose."""
        result = {key: value for key, value in raw.items() if key != "title"}
        public = {key: value for key, value in raw.get("properties", {}).items() if not value.get("x-internal")}
        result["properties"] = {key: self._value(value) for key, value in public.items()}
        result.pop("required", None)
        required = [key for key in raw.get("required", []) if "default" not in result["properties"].get(key, {})]
        if required:
            result["required"] = required
        branches = [branch for key, value in public.items() for branch in self._sibling_options(key, value, public)]
        siblings = result.pop("x-siblings", None)
        if siblings:
            result.pop("additionalProperties")
            branches += self._branches(siblings["registry"], siblings["key"], result["properties"], filled=True)
        return {**result, "allOf": branches} if branches else result

    def _value(self, raw: Schema) -> Schema:
        result = {key: value for key, value in raw.items() if key != "title"}
        result = _without_null(result) if result.pop("x-absent", False) else _with_null(result)
        if "x-choice" in result:
            choice = result.pop("x-choice")
            default: dict[str, Any] = {"default": {}} if choice["default"] else {}
            return {**self._choice(**choice), **result, **default}
        if "x-name-in" in result:
            result = {"enum": list(load(result.pop("x-name-in"))), **result}
        if result.pop("x-options-of", None):
            result |= {"type": "object", "default": {}}
        if "x-entries" in result:
            entries = load(result.pop("x-entries")).items()
            result |= {
                "additionalProperties": False,
                "properties": {name: self.options(entry) for name, entry in entries},
            }
        if "x-without-defaults" in result:
            return {
                **self._without_defaults(result.pop("x-without-defaults")),
                **{"description": result["description"]},
            }
        if "items" in result:
            result["items"] = self._value(result["items"])
        return {**result, "default": {}} if "$ref" in result else result

    def _without_defaults(self, path: str) -> Schema:
        definition = self._object(load(path).model_json_schema())
        for value in definition["properties"].values():
            value.pop("default", None)
        return definition

    def _choice(self, registry: str, kind: str, key: str, default: str) -> Schema:
        """A reference to the definition of a mapping that names an entry, beside its options."""
        name = f"choice of {kind}"
        if name not in self.definitions:
            named = {key: {"enum": list(load(registry)), "description": f"Name of the {kind}."}}
            required = {"required": [key]}
            if default:
                named[key]["default"], required = default, {}
            self.definitions[name] = {}
            self.definitions[name] = {
                "type": "object",
                **required,
                "properties": named,
                "allOf": self._branches(registry, key, {key: {}}, filled=False),
            }
        return {"$ref": f"#/$defs/{name}"}

    def _branches(self, registry: str, key: str, shared: Mapping[str, Any], *, filled: bool) -> list[Schema]:
        """For each entry of a registry, its options where ``key`` names it, beside ``shared`` keys."""
        branches = []
        for name, entry in load(registry).items():
            options = self.definitions[self.options(entry)["$ref"].rsplit("/", 1)[-1]]
            properties = {**{one: {} for one in shared}, **options["properties"]}
            then = {**options, "properties": properties}
            branch = {"if": {"properties": {key: {"const": name}}, "required": [key]}, "then": then}
            branches.append({**branch, "x-filled": True} if filled else branch)
        return branches

    def _sibling_options(self, key: str, raw: Schema, properties: Mapping[str, Schema]) -> list[Schema]:
        """Branches for a property that holds the options of the entry that another property names."""
        mark = raw.get("x-options-of")
        if mark is None:
            return []
        branches = []
        for name, entry in load(properties[mark["option"]]["x-name-in"]).items():
            reference = self.options(entry)
            options = self.definitions[reference["$ref"].rsplit("/", 1)[-1]]
            then = {"properties": {key: _swept(options) if mark["swept"] else reference}}
            condition = {"properties": {mark["option"]: {"const": name}}, "required": [mark["option"]]}
            branches.append({"if": condition, "then": then})
        return branches


def _swept(options: Schema) -> Schema:
    """Lists of values of the options that are one number."""
    numbers = {key: value for key, value in options["properties"].items() if _is_number(value)}
    plain = {key: {k: v for k, v in value.items() if k != "default"} for key, value in numbers.items()}
    lists = {key: {"type": "array", "items": value, "minItems": 1, "uniqueItems": True} for key, value in plain.items()}
    return {"type": "object", "additionalProperties": False, "properties": lists}


def _is_number(value: Schema) -> bool:
    types = value.get("type", [])
    return bool({"integer", "number"} & set([types] if isinstance(types, str) else types))


def _with_null(value: Schema) -> Schema:
    """``anyOf`` of something and null as one type or the other."""
    if {"type": "null"} not in value.get("anyOf", []):
        return value
    (inner,) = [one for one in value["anyOf"] if one.get("type") != "null"]
    outer = {key: entry for key, entry in value.items() if key != "anyOf"}
    if "enum" in inner:
        inner = {**inner, "enum": [*inner["enum"], None]}
    return {**inner, "type": [inner["type"], "null"], **outer} if "type" in inner else {**inner, **outer}


def _without_null(value: Schema) -> Schema:
    """The same without null, and without a default."""
    result = _with_null({key: entry for key, entry in value.items() if key != "default"})
    if isinstance(result.get("type"), list):
        result["type"] = result["type"][0]
    return result
