"""The configuration is strict, filled with defaults, and every mistake is one line that names its key."""

from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from v4egg.errors import V4eggError
from v4egg.workflow.configuration import check, expanded
from v4egg.workflow.configuration_errors import RENAMED

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
MINIMAL = {"name": "x", "sessions": {"s1": {"format": "cowley", "split": "halves"}}}


def changed(path, value):
    config = yaml.safe_load(yaml.safe_dump(MINIMAL))
    place = config
    *parents, last = path.split(".")
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return config


def test_defaults_reach_every_depth():
    config = check(MINIMAL, SCHEMA)
    assert config["responses"]["selection"]["min_reliability"] == 0.3
    assert config["synthesis"]["methods"]["energy_guided"]["jitter"]["shift"] == 3
    assert config["sessions"]["s1"] == {"format": "cowley", "split": "halves"}
    assert MINIMAL == {"name": "x", "sessions": {"s1": {"format": "cowley", "split": "halves"}}}


def test_conditions_vary_one_setting_at_a_time():
    own = {
        "settings": {"population": 10, "mutation_size": 1.0},
        "sweep": {"population": [20, 40], "mutation_rate": [0.25]},
    }
    filled = check(changed("evolution.conditions", {"ga": own, "plain": {}}), SCHEMA)
    conditions = expanded(filled["evolution"]["conditions"])
    assert list(conditions) == ["ga", "ga-population-20", "ga-population-40", "ga-mutation_rate-0.25", "plain"]
    assert conditions["ga-population-40"]["settings"] == {"population": 40, "mutation_size": 1.0}
    assert conditions["ga-mutation_rate-0.25"]["settings"] == {
        "population": 10,
        "mutation_size": 1.0,
        "mutation_rate": 0.25,
    }
    assert conditions["ga-mutation_rate-0.25"]["swept"] == {"condition": "ga", "setting": "mutation_rate"}
    assert conditions["ga"]["settings"] == own["settings"]
    same = {key: value for key, value in conditions["ga"].items() if key != "settings"}
    assert same == {key: value for key, value in conditions["plain"].items() if key != "settings"}
    assert "swept" not in conditions["ga"]
    assert not any("sweep" in options for options in conditions.values())


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_configurations_are_valid(path):
    config = yaml.safe_load(path.read_text())
    if "sessions" not in config:  # an overlay
        base = yaml.safe_load((ROOT / "config/cowley2023.yaml").read_text())
        update_config(base, config)
        config = base
    check(config, SCHEMA)


def test_every_key_has_a_description():
    def walk(schema, path):
        for key, sub in schema.get("properties", {}).items():
            nested = "properties" in sub or "$ref" in sub
            assert nested or "description" in sub or key in ("name",), f"{path}.{key} has no description"
            walk(sub, f"{path}.{key}")
        if isinstance(schema.get("additionalProperties"), dict):
            walk(schema["additionalProperties"], f"{path}.*")

    walk(yaml.safe_load(SCHEMA.read_text()), "")


def test_use_sessions_keeps_some():
    config = changed("sessions.s2", {"format": "cowley"})
    config["use_sessions"] = ["s1"]
    assert list(check(config, SCHEMA)["sessions"]) == ["s1"]


def grouped(**groups):
    return changed(
        "encoders.architectures.a",
        {"core": {"name": "residual"}, "readout": {"name": "gaussian"}, "core_groups": groups},
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            changed("encoders.training.epoch", 3),
            r"'encoders.training.epoch' is unknown; did you mean 'epochs'\? Known here: loss, epochs, batch_size",
        ),
        (changed("encoders.training.epochs", "ten"), "'encoders.training.epochs' is 'ten'; it must be a whole number"),
        (changed("images.channels", 2), "'images.channels'"),
        (changed("sessions.s1.format", "matlab"), "'sessions.s1.format'"),
        (changed("sessions.s1.split", "none"), "no session has a test split"),
        (changed("sessions.s1.split", "repeated"), "sessions.s1.min_repeats"),
        (changed("sessions.s2", {"format": "nwb"}), "sessions.s2.file"),
        (changed("targets.sessions", ["s9"]), "'targets.sessions' names 's9'"),
        (changed("circuits.models", ["students"]), "'circuits.models' names students; set compact.teacher"),
        (changed("adversarial.epsilons", [0.03, 0.01]), "'adversarial.epsilons' is .* ascending order"),
        (changed("adversarial.architectures", ["deep"]), "'adversarial.architectures' names 'deep'"),
        (changed("encoders.use_architectures", ["deep"]), "'encoders.use_architectures' names 'deep'"),
        (changed("synthesis.architectures", ["deep"]), "'synthesis.architectures' names 'deep'"),
        (
            changed(
                "encoders.architectures.a",
                {"core": {"name": "residual"}, "readout": {"name": "gaussian"}, "training": {"epoch": 2}},
            ),
            r"'encoders.architectures.a.training.epoch' is unknown; did you mean 'epochs'\?",
        ),
        (
            changed("encoders.architectures.a", {"core": {"name": "residual"}}),
            "'encoders.architectures.a.readout' is missing",
        ),
        (
            changed("encoders.architectures.a", {"combined": ["b", "c"]}),
            "'encoders.architectures.a.combined' names 'b'",
        ),
        (
            changed("encoders.architectures.a", {"combined": ["b", "c"], "size": 32}),
            "'encoders.architectures.a.size' is set for a combined",
        ),
        (
            changed("encoders.architectures.a", {"refit": "b"}),
            "a.refit' names 'b', which is not in use; known: attention, gaussian",
        ),
        (changed("encoders.architectures.a", {"refit": "attention", "size": 32}), "'.*a.size' is set for a refit"),
        (
            {
                **changed("encoders.training.loss", "poisson"),
                "encoders": {
                    "training": {"loss": "poisson"},
                    "architectures": {
                        "a": {"core": {"name": "residual"}, "readout": {"name": "attention"}},
                        "b": {"refit": "a"},
                    },
                },
            },
            "'encoders.architectures.b.refit' names 'a', with readout attention and loss poisson; refit one",
        ),
        (
            changed(
                "encoders.architectures.a",
                {
                    "core": {"name": "task_driven", "backbone": {"name": "denoiser"}},
                    "readout": {"name": "gaussian"},
                    "training": {"adversarial": 3},
                },
            ),
            "'encoders.architectures.a.training.adversarial' is 3, and its network is frozen; set it to 0 there",
        ),
        (
            grouped(a=["s1"], b=["s9"]),
            "'encoders.architectures.a.core_groups' names 's9', which is not under 'sessions'",
        ),
        (grouped(a=["s1"], b=["s1"]), "'encoders.architectures.a.core_groups' has 's1' in two core groups"),
        (
            {**grouped(a=["s1"]), "closed_loop": {"rounds": 1, "architecture": "a"}},
            "'closed_loop.architecture' is 'a'; it must be an architecture without a frozen network or core groups",
        ),
        (changed("use_sessions", ["s9"]), "'use_sessions' names 's9'"),
        (changed("diverse.architectures", ["deep"]), "'diverse.architectures' names 'deep'; known: attention"),
        (
            {
                **changed("sessions.s2", {"format": "cowley"}),
                "targets": {"sessions": ["s2"]},
                "reconstruction": {"images": 2},
            },
            r"'reconstruction\.images': no session of 'targets.sessions' has a test split",
        ),
        (changed("meni.energy_scales", [-1]), "'meni.energy_scales.0'"),
        (changed("synthesis.methods.energy_guided.energy_scale", -1), "'synthesis.methods.energy_guided.energy_scale'"),
        (changed("synthesis.methods.gradient_ascent.transparency", -1), "gradient_ascent.transparency'"),
        (changed("meni.energy_scales", [1]), r"'natural\.k' is 0; meni compares"),
        (
            {
                **changed("meni.energy_scales", [1]),
                "natural": {"k": 1},
                "synthesis": {"methods": {"energy_guided": {}}},
            },
            r"'synthesis\.methods\.gradient_ascent' is missing; meni compares",
        ),
        (changed("compact.teacher", "b"), r"'compact\.teacher' names 'b'; known: "),
        (
            changed("compact", {"teacher": "attention", "sessions": ["x"]}),
            r"'compact\.sessions' names 'x'; with a test split",
        ),
        (changed("compact.size", 50), "'compact.size'"),
        (changed("images.size", 50), "multiple of 8"),
        (changed("prior.sessions", False), "the pool is empty"),
        (
            changed("synthesis.methods.evolution.image_generator", {"name": "deepsim", "weights": "absent.pt"}),
            "'synthesis.methods.evolution.image_generator.weights': there is no file absent.pt; correct the path",
        ),
        (
            changed("evolution.conditions.x.image_generator.name", "deepsim"),
            "'evolution.conditions.x.image_generator.weights' is missing; give it",
        ),
        (
            changed("evolution.conditions.x.image_generator", {"name": "autoencoder", "weights": "absent"}),
            "'evolution.conditions.x.image_generator.weights': there is no folder absent; correct the path, which is",
        ),
        (
            changed("evolution.conditions.x.image_generator.name", "autoencoder"),
            "'evolution.conditions.x.image_generator.weights' is missing; give it",
        ),
        (changed("evolution.conditions.x.arch", "b"), r"'evolution.conditions.x.arch' names 'b'"),
        (changed("evolution.conditions.x.spikes", 0), "'evolution.conditions.x.spikes'"),
        (changed("evolution.conditions.x.sweep", {"population": 10}), "'evolution.conditions.x.sweep.population'"),
        (
            {**changed("synthesis.methods.evolution", {}), "decoder": {"widths": [16] * 4}},
            "'images.size' is 56; the decoder needs a multiple of 16",
        ),
        (changed("seed", 3.0), "'seed' is 3.0; it must be a whole number"),
        (changed("seed", True), "'seed' is true; it must be a whole number"),
        (changed("prior.learning_rate", float("nan")), "'prior.learning_rate' is nan; it must be a number"),
        (changed("prior.learning_rate", float("inf")), "'prior.learning_rate' is inf; it must be a number"),
        (changed("encoders.architectures.a.core", {"name": "residul"}), r"core.name' is 'residul'; did you mean"),
        (changed("encoders.architectures.attention.core", {"name": "residual", "blocs": 1}), "blocs' is unknown; did"),
        (changed("encoders.architectures.attention.readout", {"name": "gaussian", "sigma": 0}), "readout.sigma'"),
        (changed("encoders.architectures.attention.training", {"loss": "huber"}), "training.loss' is 'huber'"),
        (
            changed("encoders.architectures.a.core", {"name": "depth_separable", "kernel": 4}),
            "core.kernel' is 4; it must be odd",
        ),
        (
            changed(
                "encoders.architectures.a.core", {"name": "task_driven", "backbone": {"name": "denoiser", "grids": 4}}
            ),
            "core.backbone.grids' is unknown; did you mean 'grid'",
        ),
        (changed("evolution.conditions.x.settings", {"populaton": 4}), "settings.populaton' is unknown; did you mean"),
        (changed("evolution.conditions.x.settings", {"mutation_rate": 2}), "settings.mutation_rate'"),
        (
            changed("evolution.conditions.x.sweep", {"radius": [1.0]}),
            "sweep.radius' is unknown; known here: population",
        ),
        (changed("evolution.conditions.x.image_generator", {"name": "pixels", "steps": 3}), "steps' is unknown"),
        (changed("sessions.s1.columns", {"table": "x"}), "'sessions.s1.columns' is unknown; known here: format"),
        (changed("sessions.s1.judge", {"name": "brain"}), "'sessions.s1.judge.name' is 'brain'"),
        (changed("sessions.s1.judge", {"name": "simulated_brain"}), "session is not simulated; name another judge"),
        (
            changed("sessions", {190923: {"format": "cowley"}}),
            "key 'sessions': the name 190923 is no text; begin it with a letter, as s190923",
        ),
        (
            changed("sessions", {"190923": {"format": "cowley"}}),
            "key 'sessions': the name '190923' must begin with a letter and hold letters, digits and _ only",
        ),
        (
            changed("sessions", {True: {"format": "cowley"}}),
            r"the name true is no text \(on, off, yes and no are true and false in YAML\); write it in quotes, as",
        ),
        (changed("evolution.conditions", {False: {}}), "'evolution.conditions': the name false is no text"),
        (changed("evolution.conditions", {1: {}}), "'evolution.conditions': the name 1 is no text; .*, as s1"),
        (changed("encoders.architectures", {None: {}}), "'encoders.architectures': the name null is no text"),
        (
            changed("encoders.architectures", {"a b": {}}),
            "'a b' must begin with a letter and hold letters, digits, _ and",
        ),
        (changed("encoders.architectures", {"a{b}": {}}), "'a{b}' must begin with a letter"),
        (
            changed("synthesis.methods", {2: {}}),
            "'synthesis.methods': the name 2 is no text; write it in quotes, as \"2\"",
        ),
        (
            changed("encoders.architectures.attention.readout", {"name": "attention", "heads": 3}),
            "'encoders.architectures.attention.readout': dim is 128, which is not divisible by heads, 3; change one",
        ),
        (
            changed("evolution.conditions.x", {"optimizer": "sphere_cma", "settings": {"selected": 50}}),
            "'evolution.conditions.x.settings': optimizer 'sphere_cma': selected is 50; give 1 to the population, 40",
        ),
        (
            changed("evolution.conditions.x", {"optimizer": "sphere_cma", "sweep": {"population": [60, 10]}}),
            "'evolution.conditions.x-population-10.settings': optimizer 'sphere_cma': selected is 20",
        ),
        (
            changed("evolution.conditions.x", {"budget": 30, "repeats": 2}),
            "'evolution.conditions.x.budget' is 30, smaller than a generation of 40 presentations",
        ),
        (
            changed("synthesis.methods.evolution", {"budget": 10}),
            "'synthesis.methods.evolution.budget' is 10, smaller than a generation of 20",
        ),
        (changed("images", {None: 3}), "'images': the name null is no text"),
        (changed("name", "a/b"), "'name' is 'a/b'; it must hold letters, digits, _ and - only"),
        (changed("name", 190923), "'name' is 190923; it must be text; write it in quotes"),
        (changed("sessions.s1.split", False), "^configuration key 'sessions.s1.split' is false; known: none, halves"),
        (changed("sessions", {}), "'sessions'"),
    ],
)
def test_mistakes_name_their_key(config, message):
    with pytest.raises(V4eggError, match=message) as caught:
        check(config, SCHEMA)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_keys_of_earlier_versions_are_refused_with_their_name_now(old):
    key = old.replace("methods.*", "methods.gradient_ascent").replace("*", "attention")
    config = changed(key, {} if key.endswith(("vary", "groups")) else 1)
    for part in ("core", "readout"):
        if f".{part}." in key:
            name = {"fold": "residual", "beside": "task_driven", "spread": "gaussian"}[key.rpartition(".")[2]]
            config["encoders"]["architectures"]["attention"][part]["name"] = name
    with pytest.raises(V4eggError, match=rf"key '{key}' is now called '{RENAMED[old]}'; rename it"):
        check(config, SCHEMA)


def test_values_of_earlier_versions_are_refused_with_their_name_now():
    with pytest.raises(
        V4eggError, match=r"conditions\.x\.neurons' is 'outside', which is now called 'external'; rename"
    ):
        check(changed("evolution.conditions.x.neurons", "outside"), SCHEMA)


def test_all_mistakes_of_a_file_are_named_at_once_a_line_each():
    config = changed("seed", 3.0)
    config |= {"image": {}, "images": {"size": 1}}
    with pytest.raises(V4eggError) as caught:
        check(config, SCHEMA)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "configuration key 'image' is unknown; did you mean 'images'?" in lines[0]


def test_own_architectures_stand_beside_the_default_ones_and_null_removes_one():
    own = {"core": {"name": "residual", "channels": 8}, "readout": {"name": "factorized"}}
    named = check(changed("encoders.architectures.mine", own), SCHEMA)["encoders"]["architectures"]
    assert list(named) == ["attention", "gaussian", "mine"]
    assert named["mine"] == own
    replaced = check(changed("encoders.architectures", {"attention": own, "gaussian": None}), SCHEMA)
    assert replaced["encoders"]["architectures"] == {"attention": own}
    chosen = changed("encoders", {"architectures": {"mine": own}, "use_architectures": ["mine"]})
    assert list(check(chosen, SCHEMA)["encoders"]["architectures"]) == ["mine"]


def test_parts_that_are_chosen_by_name_stay_as_they_are_given():
    config = check(changed("evolution.conditions.x", {}), SCHEMA)
    assert config["evolution"]["conditions"]["x"]["image_generator"] == {"name": "decoder"}
    assert config["encoders"]["architectures"]["attention"]["core"] == {"name": "residual"}
    simulated = check(changed("sessions.s2", {"format": "simulated"}), SCHEMA)["sessions"]["s2"]
    assert simulated["simulation"]["n_units"] == 32


@pytest.mark.parametrize(("response_unit", "refused"), [("normalized firing rate", True), ("spikes per window", False)])
def test_a_poisson_loss_needs_counts(response_unit, refused):
    own = {"format": "brainscore", "file": "a.nc", "images": "a.zip", "response_unit": response_unit, "split": "halves"}
    config = changed("sessions", {"s1": own})
    config["encoders"] = {"training": {"loss": "poisson"}}
    if not refused:
        check(config, SCHEMA)
        return
    with pytest.raises(V4eggError, match=r"'encoders.training.loss' is poisson for 'attention', and the responses of"):
        check(config, SCHEMA)
    config["encoders"]["training"]["loss"] = "mse"
    check(config, SCHEMA)
