"""Settings of a configuration that contradict each other: what no schema can say."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from v4egg.errors import V4eggError
from v4egg.recordings.sources import external_judge, source_of
from v4egg.registry import known_names
from v4egg.xdream.optimizers import settings_of


def check_consistency(config: Mapping[str, Any], sessions: Sequence[str]) -> None:
    """Refuse settings that contradict each other.

    Args:
        config: valid and with defaults; only the sessions and architectures in use.
        sessions: all sessions, also those that are not in use.

    Raises:
        V4eggError: the first contradiction; names the key.
    """
    encoders = config["encoders"]
    _check_architectures(encoders)
    _check_core_groups(encoders["architectures"], sessions)
    _check_refits(encoders)
    _check_losses(encoders, config["sessions"])
    _check_adversarial(encoders)
    makers = ("synthesis.architectures", "encoders.architectures")
    chosen_entries(encoders["architectures"], config["synthesis"]["architectures"], *makers)
    _check_sessions(config)
    _check_judges(config)
    _check_sizes(config)
    _check_closed_loop(config)
    _check_stages(config)
    _check_compact(config)
    _check_image_generators(config)
    _check_analyses(config)


def chosen_entries(entries: Mapping[str, Any], chosen: Sequence[str], key: str, where: str) -> dict[str, Any]:
    """The entries that ``chosen`` names, all if none: an overlay can shorten a list, but not delete keys."""
    for name in chosen:
        if name not in entries:
            raise V4eggError(f"configuration key '{key}' names '{name}', which is not under '{where}'")
    return {name: entries[name] for name in chosen or entries}


def _check_architectures(encoders: Mapping[str, Any]) -> None:
    derivations = {
        arch: set(architecture) & {"combined", "refit"} for arch, architecture in encoders["architectures"].items()
    }
    trained = {
        "combined": [arch for arch, kind in derivations.items() if "combined" not in kind],
        "refit": [arch for arch, kind in derivations.items() if not kind],
    }
    for arch, architecture in encoders["architectures"].items():
        _check_parts(f"encoders.architectures.{arch}", architecture, trained)


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


def _check_losses(encoders: Mapping[str, Any], sessions: Mapping[str, Mapping[str, Any]]) -> None:
    """A Poisson loss needs counts of spikes."""
    losses = {
        arch: {**encoders["training"], **architecture.get("training", {})}
        for arch, architecture in encoders["architectures"].items()
    }
    poisson = [arch for arch, training in losses.items() if training["loss"] == "poisson"]
    for session, source in sessions.items() if poisson else ():
        if not source_of(session, source, "", "").counts_spikes():
            raise V4eggError(
                f"configuration key 'encoders.training.loss' is poisson for '{poisson[0]}', and the responses of "
                f"session '{session}' are no counts of spikes; set it to mse"
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
    sources = architecture["combined"] if kind == "combined" else [architecture["refit"]]
    for name in sources:
        if name not in trained[kind]:
            raise V4eggError(
                f"configuration key '{where}.{kind}' names '{name}', which is not in use; "
                f"{known_names(name, trained[kind])}"
            )


def _check_sessions(config: Mapping[str, Any]) -> None:
    for session, source in config["sessions"].items():
        if source["split"] == "repeated" and "min_repeats" not in source:
            raise V4eggError(
                f"configuration key 'sessions.{session}.min_repeats' is missing; split 'repeated' needs it"
            )
    if all(source["split"] == "none" for source in config["sessions"].values()):
        raise V4eggError("configuration key 'sessions': no session has a test split; set split to halves or repeated")
    for session in config["targets"]["sessions"]:
        if session not in config["sessions"]:
            raise V4eggError(f"configuration key 'targets.sessions' names '{session}', which is not under 'sessions'")
    if not (config["prior"]["sessions"] or config["prior"]["photographs"]):
        raise V4eggError("configuration key 'prior': the pool is empty; set prior.sessions or prior.photographs")


def _check_judges(config: Mapping[str, Any]) -> None:
    """The simulated brain judges simulated sessions only."""
    for session, source in config["sessions"].items():
        if source.get("judge", {}).get("name") == "simulated_brain" and source["format"] != "simulated":
            raise V4eggError(
                f"configuration key 'sessions.{session}.judge.name' is 'simulated_brain', and the session is not "
                "simulated; name another judge"
            )


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
        methods = ", ".join(config["synthesis"]["methods"])
        raise V4eggError(f"configuration key 'closed_loop.method' names '{loop['method']}'; known: {methods}")


def _learns_whole(architecture: Mapping[str, Any]) -> bool:
    """Whether it is no combined architecture and has no frozen network."""
    return "backbone" not in architecture.get("core", {"backbone": None})


def _check_stages(config: Mapping[str, Any]) -> None:
    """A stage that is switched on names known architectures and has what its figure compares with."""
    architectures = config["encoders"]["architectures"]
    for stage in ("meni", "diverse", "reconstruction", "adversarial"):
        for arch in config[stage]["architectures"] or []:
            if arch not in architectures:
                raise V4eggError(
                    f"configuration key '{stage}.architectures' names '{arch}'; known: {', '.join(architectures)}"
                )
    tested = [session for session, source in config["sessions"].items() if source["split"] != "none"]
    sessions = config["targets"]["sessions"] or tested
    if config["reconstruction"]["images"] and not set(sessions) & set(tested):
        raise V4eggError("configuration key 'reconstruction.images': no session of 'targets.sessions' has a test split")
    if not config["meni"]["energy_scales"]:
        return
    if not config["natural"]["k"]:
        raise V4eggError("configuration key 'natural.k' is 0; meni compares with the best natural image: set it to 1")
    if "gradient_ascent" not in config["synthesis"]["methods"]:
        raise V4eggError("configuration key 'synthesis.methods.gradient_ascent' is missing; meni compares with it")


def _check_compact(config: Mapping[str, Any]) -> None:
    """Compact models have a teacher that is there, and sessions with test images to be scored on."""
    compact, architectures = config["compact"], config["encoders"]["architectures"]
    if not compact["teacher"]:
        return
    if compact["teacher"] not in architectures:
        raise V4eggError(
            f"configuration key 'compact.teacher' names '{compact['teacher']}'; known: {', '.join(architectures)}"
        )
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


def check_searches(config: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse settings of optimizers that contradict each other, and budgets smaller than a generation.

    Args:
        config: valid and with defaults.
        conditions: those of the evolution experiment, with those that their sweeps ask for.

    Raises:
        V4eggError: the first of them; names the key.
    """
    methods = {name: options for name, options in config["synthesis"]["methods"].items() if "optimizer" in options}
    searches = {f"synthesis.methods.{name}": options for name, options in methods.items()}
    searches |= {f"evolution.conditions.{name}": condition for name, condition in conditions.items()}
    for key, search in searches.items():
        try:
            settings = settings_of(search["optimizer"], search["settings"])
        except V4eggError as error:
            raise V4eggError(f"configuration key '{key}.settings': {error}") from None
        generation = settings["population"] * search.get("repeats", 1)
        if search["budget"] < generation:
            raise V4eggError(
                f"configuration key '{key}.budget' is {search['budget']}, smaller than a generation of {generation} "
                "presentations; give more, or a smaller population"
            )


def _check_image_generators(config: Mapping[str, Any]) -> None:
    """The decoder has to fit the images."""
    size, levels = config["images"]["size"], len(config["decoder"]["widths"])
    decoded = any(options.get("image_generator", {}).get("name") == "decoder" for options in _searches(config).values())
    if decoded and size % 2**levels:
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
    _check_published(config)


def _check_published(config: Mapping[str, Any]) -> None:
    """Published compact models can only be analysed of sessions that have them."""
    stages = [stage for stage in ("circuits", "adversarial") if "published" in config[stage]["models"]]
    if not stages:
        return
    tested = [session for session, source in config["sessions"].items() if source["split"] != "none"]
    targets = config["targets"]["sessions"] or tested
    judges = [external_judge(session, config["sessions"][session], public_folder(config), "") for session in targets]
    if not any(judge and judge["judge"] == "published_compact" for judge in judges):
        raise V4eggError(
            f"configuration key '{stages[0]}.models' names published; there are published models of no session that "
            f"gets images ({', '.join(targets)}): remove it, or add one such as s190923 to targets.sessions"
        )


def public_folder(config: Mapping[str, Any]) -> str:
    """Where the published recordings are or will be."""
    return f"{os.environ.get('V4EGG_DATA', config['data'])}/V4_compact_models"
