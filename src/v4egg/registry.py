"""Registries: what a configuration chooses by name, such as a method or an optimizer, known without importing its code.

A registry is a dict from names to entries, in a module that imports neither torch nor the code behind the names. To
add a thing is to write one file, which holds its :class:`Options` beside the code that they configure, and to name it
in one line of the registry. The schema of the configuration, its reference, the inputs of rules, and labels and colours
of figures follow from both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict, ValidationError
from pydantic_core import core_schema

from v4egg.errors import V4eggError


@dataclass(frozen=True)
class Entry:
    """One line of a registry.

    Attributes:
        target: ``module:name`` of what is registered, imported when used; a subclass of :class:`Options`, but for
            figures.
        label: how a figure names it; by default its name without underscores.
        colour: its colour in figures, such as ``#D55E00``; by default one that is free.
        marker: its marker in figures, for judges.
        required_stores: stores of the workflow that it reads, such as ``prior``.
        parts: options that choose from a registry themselves, by option the ``module:name`` of that registry.
        source: ``module:name`` of a torch-free class that says which files it reads, for readers and judges.
    """

    target: str
    label: str = ""
    colour: str = ""
    marker: str = ""
    required_stores: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


Registry = Mapping[str, Entry]


class Options(BaseModel):
    """Base of all options: typed, nothing unknown, no number that is not finite, and unchanged once made.

    A field without a bound or a default says so in the schema; every field has a description.

    Example:
        >>> from pydantic import Field
        >>> class Blur(Options):
        ...     sigma: float = Field(1.0, ge=0, description="Standard deviation in pixels.")
        >>> Blur(sigma=2).sigma
        2.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def load(path: str) -> Any:
    """What ``module:name`` names.

    Example:
        >>> load("v4egg.errors:V4eggError").__name__
        'V4eggError'
    """
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def entry_of(registry: Registry, name: str, kind: str) -> Entry:
    """The entry of that name.

    Args:
        registry: the registry.
        name: the name to look up.
        kind: what the registry holds, for errors, such as ``method of synthesis``.

    Raises:
        V4eggError: no entry has that name; lists those that there are.
    """
    if name not in registry:
        raise V4eggError(f"{kind} '{name}' is unknown; {known_names(name, registry)}")
    return registry[name]


def options_of(registry: Registry, name: str, values: Mapping[str, Any], kind: str) -> Any:
    """The options of an entry, checked and with defaults filled in; they do the work of the entry.

    Args:
        registry: the registry.
        name: the name of the entry.
        values: options by name; those that are not given have their defaults.
        kind: what the registry holds, for errors.

    Raises:
        V4eggError: no entry has that name, or an option is unknown, missing, of a wrong type or out of range.
    """
    return checked(load(entry_of(registry, name, kind).target), values, f"{kind} '{name}'")


def checked(model: type[Options], values: Mapping[str, Any], where: str) -> Any:
    """An instance of ``model``, its first mistake a one-line error that begins with ``where``."""
    try:
        return model(**values)
    except ValidationError as error:
        raise V4eggError(f"{where}: {_first_mistake(error, model)}") from None


def required_stores(registry: Registry, name: str, options: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """The stores of the workflow that an entry reads, those of its parts included.

    Args:
        registry: the registry.
        name: the name of the entry.
        options: its options; a part is a mapping with the key ``name``.
        kind: what the registry holds, for errors.
    """
    entry = entry_of(registry, name, kind)
    required = list(entry.required_stores)
    for option, path in entry.parts.items():
        if option in options:
            part = options[option]
            required += required_stores(load(path), part["name"], part, option)
    return tuple(dict.fromkeys(required))


def known_names(name: str, choices: Any) -> str:
    """What an error says of an unknown name: what is known, and what was probably meant.

    Example:
        >>> known_names("rigde", ["ridge", "ln"])
        "did you mean 'ridge'? Known: ridge, ln"
    """
    names = [str(one) for one in choices]
    near = get_close_matches(str(name), names, n=1, cutoff=0.7)
    listing = f"nown: {', '.join(names)}" if names else "nown: none"
    return f"did you mean '{near[0]}'? K{listing}" if near else f"k{listing}"


def _first_mistake(error: ValidationError, model: type[Options]) -> str:
    mistake = error.errors(include_url=False)[0]
    option = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"option '{option}' is unknown; {known_names(option, model.model_fields)}"
    if mistake["type"] == "missing":
        return f"option '{option}' is missing; give it"
    if mistake["type"] == "value_error":
        return f"option '{option}': {mistake['ctx']['error']}" if option else str(mistake["ctx"]["error"])
    value = f" is {mistake['input']!r}" if option else ""
    return f"option '{option}'{value}: {mistake['msg'][:1].lower()}{mistake['msg'][1:]}"


def _text_of_path(value: Any) -> Any:
    return str(value) if isinstance(value, PurePath) else value


@dataclass(frozen=True)
class Choice:
    """Annotation of an option that is a mapping: a name from a registry beside the options of that entry.

    Attributes:
        registry: ``module:name`` of the registry.
        kind: what the registry holds, for errors.
        key: the key of the mapping that names the entry.
        default: the name where none is given.
    """

    registry: str
    kind: str
    key: str = "name"
    default: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Check the mapping against the options of the entry that it names."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """A mark that the schema of the configuration replaces by the options of all entries."""
        return {"x-choice": {"registry": self.registry, "kind": self.kind, "key": self.key, "default": self.default}}

    def _checked(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        name = value.get(self.key, self.default)
        if not name:
            raise ValueError(f"give '{self.key}', the {self.kind}")
        options = {key: option for key, option in value.items() if key != self.key}
        options_of(load(self.registry), name, options, self.kind)
        return value


@dataclass(frozen=True)
class NameIn:
    """Annotation of an option that is a name from a registry, ``module:name``."""

    registry: str

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """A mark that the schema of the configuration replaces by the names."""
        return {"x-name-in": self.registry}


@dataclass(frozen=True)
class OptionsOf:
    """Annotation of an option that is a mapping: options of the entry that another option names.

    Attributes:
        option: the option that names the entry, annotated with :class:`NameIn`.
        swept: whether the mapping holds lists of values of numeric options, rather than values.
    """

    option: str
    swept: bool = False

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """A mark that the schema of the configuration replaces by the options of all entries."""
        return {"x-options-of": {"option": self.option, "swept": self.swept}}


Strings = Annotated[tuple[str, ...], Strict(False)]
Integers = Annotated[tuple[int, ...], Strict(False)]
Numbers = Annotated[tuple[float, ...], Strict(False)]
PathText = Annotated[str, BeforeValidator(_text_of_path)]
