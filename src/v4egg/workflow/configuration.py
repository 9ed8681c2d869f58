"""The configuration: checked against the schema, defaults filled in, every mistake one line that names its key."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from v4egg.errors import V4eggError

_REQUIRED_BY_FORMAT = {"nwb": ("file",), "simulated": ("simulation",), "cowley": ()}


def check(config: Mapping[str, Any], schema_path: str | Path) -> dict[str, Any]:
    """The configuration with every default filled in.

    Raises:
        V4eggError: an unknown key, a wrong type or value, or settings that contradict each other; names the key.
    """
    schema = yaml.safe_load(Path(schema_path).read_text())
    filled = with_defaults(copy.deepcopy(dict(config)), schema)
    errors = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(filled), key=lambda e: (len(e.path), str(e.path))
    )
    if errors:
        raise V4eggError(_explain(errors[0]))
    sessions = list(filled["sessions"])
    filled["sessions"] = _chosen(filled["sessions"], filled["use_sessions"], "use_sessions", "sessions")
    encoders = filled["encoders"]
    names = ("encoders.use_architectures", "encoders.architectures")
    encoders["architectures"] = _chosen(encoders["architectures"], encoders["use_architectures"], *names)
    _check_architectures(encoders)
    _check_core_groups(encoders["architectures"], sessions)
    _check_refits(encoders)
    _check_adversarial(encoders)
    makers = ("synthesis.architectures", "encoders.architectures")
    _chosen(encoders["architectures"], filled["synthesis"]["architectures"], *makers)
    _check_sessions(filled)
    _check_sizes(filled)
    _check_closed_loop(filled)
    _check_stages(filled)
    _check_compact(filled)
    _check_generators(filled)
    _check_analyses(filled)
    return filled


def expanded(conditions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Conditions of evolution, each followed by those that its ``sweep`` asks for.

    ``ga`` with ``sweep: {population: [10, 40]}`` gives ``ga``, ``ga-population-10`` and ``ga-population-40``. These
    have ``swept``, from which ``condition`` which ``setting`` departs; none has ``sweep`` any longer.
    """
    found = {}
    for name, condition in conditions.items():
        own = {key: value for key, value in condition.items() if key != "sweep"}
        found[name] = own
        for setting, values in condition["sweep"].items():
            for value in values:
                settings = {**own["settings"], setting: value}
                swept = {"condition": name, "setting": setting}
                found[f"{name}-{setting}-{value:g}"] = {**own, "settings": settings, "swept": swept}
    return found


def with_defaults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """``value`` with the defaults of ``schema`` put where a key is absent, at every depth."""
    root = schema if root is None else root
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    for key, sub in properties.items():
        if key not in value and "default" in sub:
            value[key] = copy.deepcopy(sub["default"])
    for key in value:
        sub = properties.get(key, schema.get("additionalProperties"))
        if isinstance(sub, Mapping):
            value[key] = with_defaults(value[key], sub, root)
    return value


def _explain(error: jsonschema.ValidationError) -> str:
    key = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = set(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - known)
        where = f"{key}.{unknown[0]}" if key else unknown[0]
        return f"configuration key '{where}' is unknown; known here: {', '.join(sorted(known))}"
    if error.validator == "type":
        kind = type(error.instance).__name__
        return f"configuration key '{key}' is {error.instance!r} ({kind}); it must be of type {error.validator_value}"
    return f"configuration key '{key or 'top level'}': {error.message}; correct it (config/README.md lists all keys)"


def _chosen(entries: Mapping[str, Any], chosen: Sequence[str], key: str, where: str) -> dict[str, Any]:
    """The entries that ``chosen`` names, all if none: an overlay can shorten a list, but not delete keys."""
    for name in chosen:
        if name not in entries:
            raise V4eggError(f"configuration key '{key}' names '{name}', which is not under '{where}'")
    return {name: entries[name] for name in chosen or entries}


def _check_architectures(encoders: Mapping[str, Any]) -> None:
    known = sorted(encoders["training"])
    own = {arch: set(architecture) & {"combined", "refit"} for arch, architecture in encoders["architectures"].items()}
    trained = {
        "combined": [arch for arch, kind in own.items() if "combined" not in kind],
        "refit": [arch for arch, kind in own.items() if not kind],
    }
    for arch, architecture in encoders["architectures"].items():
        where = f"encoders.architectures.{arch}"
        _check_parts(where, architecture, trained)
        for key in architecture.get("training", {}):
            if key not in known:
                raise V4eggError(
                    f"configuration key '{where}.training.{key}' is unknown; known here: {', '.join(known)}"
                )


def _check_core_groups(architectures: Mapping[str, Any], sessions: Sequence[str]) -> None:
    """Each core group names sessions that there are, also if not in use, and no session twice."""
    for arch, architecture in architectures.items():
        where, seen = f"encoders.architectures.{arch}.core_groups", set()
        for session in (name for members in architecture.get("core_groups", {}).values() for name in members):
            if session not in sessions:
                raise V4eggError(f"configuration key '{where}' names '{session}', which is not under 'sessions'")
            if session in seen:
                raise V4eggError(f"configuration key '{where}' has '{session}' in two core groups; a session is in one")
            seen.add(session)


def _check_refits(encoders: Mapping[str, Any]) -> None:
    """A refit is in closed form, which only what attention picks and squared errors have."""
    architectures = encoders["architectures"]
    for arch, architecture in architectures.items():
        if "refit" not in architecture:
            continue
        base = architectures[architecture["refit"]]
        loss = {**encoders["training"], **base.get("training", {})}["loss"]
        if base["readout"]["name"] != "attention" or loss != "mse":
            raise V4eggError(
                f"configuration key 'encoders.architectures.{arch}.refit' names '{architecture['refit']}', with "
                f"readout {base['readout']['name']} and loss {loss}; refit one with an attention readout and loss mse"
            )


def _check_adversarial(encoders: Mapping[str, Any]) -> None:
    """Stored features of a frozen network have no image that could be changed."""
    for arch, architecture in encoders["architectures"].items():
        adversarial = {**encoders["training"], **architecture.get("training", {})}["adversarial"]
        if adversarial and "backbone" in architecture.get("core", {}):
            raise V4eggError(
                f"configuration key 'encoders.architectures.{arch}.training.adversarial' is {adversarial}, and its "
                "network is frozen; set it to 0 there"
            )


def _check_parts(where: str, architecture: Mapping[str, Any], trained: Mapping[str, Sequence[str]]) -> None:
    """An architecture is a core and a readout, another one's refit, or a combination of such architectures."""
    kind = next((key for key in ("combined", "refit") if key in architecture), None)
    if kind is None:
        missing = [part for part in ("core", "readout") if part not in architecture]
        if missing:
            raise V4eggError(
                f"configuration key '{where}.{missing[0]}' is missing; give core and readout, or refit, or combined"
            )
        return
    more = [key for key in architecture if key != kind]
    if more:
        raise V4eggError(f"configuration key '{where}.{more[0]}' is set for a {kind}; remove it")
    named = architecture["combined"] if kind == "combined" else [architecture["refit"]]
    for name in named:
        if name not in trained[kind]:
            known = ", ".join(trained[kind]) or "none, since architectures that are named replace the default ones"
            raise V4eggError(f"configuration key '{where}.{kind}' names '{name}'; known: {known}")


def _check_sessions(config: Mapping[str, Any]) -> None:
    for session, source in config["sessions"].items():
        for key in _REQUIRED_BY_FORMAT[source["format"]]:
            if key not in source:
                raise V4eggError(
                    f"configuration key 'sessions.{session}.{key}' is missing; {source['format']} needs it"
                )
        if source["split"] == "repeated" and "min_repeats" not in source:
            raise V4eggError(
                f"configuration key 'sessions.{session}.min_repeats' is missing; split 'repeated' needs it"
            )
    if all(source["split"] == "none" for source in config["sessions"].values()):
        raise V4eggError("configuration key 'sessions': no session has a test split; set split to halves or repeated")
    for session in config["targets"]["sessions"]:
        if session not in config["sessions"]:
            raise V4eggError(f"configuration key 'targets.sessions' names '{session}', which is not under 'sessions'")
    prior = config["prior"]
    if not (prior["sessions"] or prior["photographs"] or prior["pretrained"]["weights"]):
        raise V4eggError("configuration key 'prior': the pool is empty; set prior.sessions or prior.photographs")


def _check_sizes(config: Mapping[str, Any]) -> None:
    prior = config["prior"]
    if prior["pretrained"]["weights"]:
        return
    reduction = prior["patch_size"] * 2 ** (len(prior["widths"]) - 1)
    if config["images"]["size"] % reduction:
        raise V4eggError(
            f"configuration key 'images.size' is {config['images']['size']}; the prior needs a multiple of {reduction} "
            "(prior.patch_size x 2^(levels - 1))"
        )


def _check_closed_loop(config: Mapping[str, Any]) -> None:
    loop, architectures = config["closed_loop"], config["encoders"]["architectures"]
    if not loop["rounds"]:
        return
    able = [a for a, parts in architectures.items() if "core_groups" not in parts and _learns_whole(parts)]
    if loop["architecture"] not in able and (loop["architecture"] or not able):
        raise V4eggError(
            f"configuration key 'closed_loop.architecture' is '{loop['architecture']}'; it must be an architecture "
            f"without a frozen network or core groups "
            f"({', '.join(able) or 'there is none: set closed_loop.rounds to 0'})"
        )
    if loop["method"] not in config["synthesis"]["methods"]:
        known = ", ".join(config["synthesis"]["methods"])
        raise V4eggError(f"configuration key 'closed_loop.method' names '{loop['method']}'; known: {known}")


def _learns_whole(architecture: Mapping[str, Any]) -> bool:
    """Whether it is no combined architecture and has no frozen network."""
    return "backbone" not in architecture.get("core", {"backbone": None})


def _check_stages(config: Mapping[str, Any]) -> None:
    """A stage that is switched on names known architectures and has what its figure compares with."""
    known = config["encoders"]["architectures"]
    for stage in ("meni", "diverse", "reconstruction", "adversarial"):
        for arch in config[stage]["architectures"] or []:
            if arch not in known:
                raise V4eggError(f"configuration key '{stage}.architectures' names '{arch}'; known: {', '.join(known)}")
    tested = [session for session, source in config["sessions"].items() if source["split"] != "none"]
    wanted = config["targets"]["sessions"] or tested
    if config["reconstruction"]["images"] and not set(wanted) & set(tested):
        raise V4eggError("configuration key 'reconstruction.images': no session of 'targets.sessions' has a test split")
    if not config["meni"]["energy_scales"]:
        return
    if not config["natural"]["k"]:
        raise V4eggError("configuration key 'natural.k' is 0; meni compares with the best natural image: set it to 1")
    if "gradient_ascent" not in config["synthesis"]["methods"]:
        raise V4eggError("configuration key 'synthesis.methods.gradient_ascent' is missing; meni compares with it")


def _check_compact(config: Mapping[str, Any]) -> None:
    """Compact models have a teacher that is there, and sessions with test images to be scored on."""
    compact, known = config["compact"], config["encoders"]["architectures"]
    if not compact["teacher"]:
        return
    if compact["teacher"] not in known:
        raise V4eggError(f"configuration key 'compact.teacher' names '{compact['teacher']}'; known: {', '.join(known)}")
    tested = [session for session, source in config["sessions"].items() if source["split"] != "none"]
    for session in compact["sessions"]:
        if session not in tested:
            raise V4eggError(
                f"configuration key 'compact.sessions' names '{session}'; with a test split: {', '.join(tested)}"
            )
    if not compact["sessions"] and not set(config["targets"]["sessions"] or tested) & set(tested):
        raise V4eggError("configuration key 'compact.sessions': no session of 'targets.sessions' has a test split")


def _searches(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Methods and conditions that may search the codes of an image generator, by key."""
    methods = {f"synthesis.methods.{name}": options for name, options in config["synthesis"]["methods"].items()}
    conditions = config["evolution"]["conditions"]
    for name, condition in conditions.items():
        if condition["arch"] and condition["arch"] not in config["encoders"]["architectures"]:
            raise V4eggError(
                f"configuration key 'evolution.conditions.{name}.arch' names '{condition['arch']}', which is not under "
                "'encoders.architectures'"
            )
    return methods | {f"evolution.conditions.{name}": condition for name, condition in conditions.items()}


def _check_generators(config: Mapping[str, Any]) -> None:
    """Evolution's image generators: weights where they are needed, and a decoder that fits the images."""
    size, levels = config["images"]["size"], len(config["decoder"]["widths"])
    for where, options in _searches(config).items():
        generator = options.get("generator", {})
        if generator.get("name") == "deepsim" and not Path(generator.get("weights", "")).is_file():
            raise V4eggError(f"configuration key '{where}.generator.weights' names no file; deepsim needs your weights")
        if generator.get("name") == "autoencoder" and not Path(generator.get("weights") or "none given").is_dir():
            raise V4eggError(
                f"configuration key '{where}.generator.weights' names no folder; "
                "autoencoder needs the local folder of a diffusers autoencoder"
            )
        if generator.get("name") == "decoder" and size % 2**levels:
            raise V4eggError(
                f"configuration key 'images.size' is {size}; the decoder needs a multiple of {2**levels} "
                "(2^levels of decoder.widths)"
            )


def _check_analyses(config: Mapping[str, Any]) -> None:
    """Students can only be analysed where they are made, and changes are told by ascending size."""
    for stage in ("circuits", "adversarial"):
        if "students" in config[stage]["models"] and not config["compact"]["teacher"]:
            raise V4eggError(
                f"configuration key '{stage}.models' names students; set compact.teacher, who teaches them"
            )
    epsilons = config["adversarial"]["epsilons"]
    if epsilons != sorted(epsilons):
        raise V4eggError(f"configuration key 'adversarial.epsilons' is {epsilons}; give them in ascending order")
