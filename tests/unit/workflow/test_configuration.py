"""The configuration is strict, filled with defaults, and every mistake is one line that names its key."""

from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from v4egg.errors import V4eggError
from v4egg.workflow.configuration import check, expanded

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
    assert config["sessions"]["s1"]["columns"] == {}
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
    return changed("encoders.architectures.a", {"core": {"name": "c"}, "readout": {"name": "r"}, "core_groups": groups})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            changed("encoders.training.epoch", 3),
            "'encoders.training.epoch' is unknown; known here: adversarial, batch_size",
        ),
        (changed("encoders.training.epochs", "ten"), r"'encoders.training.epochs' is 'ten' \(str\)"),
        (changed("images.channels", 2), "'images.channels'"),
        (changed("sessions.s1.format", "matlab"), "'sessions.s1.format'"),
        (changed("sessions.s1.split", "none"), "no session has a test split"),
        (changed("sessions.s1.split", "repeated"), "sessions.s1.min_repeats"),
        (changed("sessions.s2", {"format": "nwb"}), "sessions.s2.file"),
        (changed("sessions.s2", {"format": "simulated"}), "sessions.s2.simulation"),
        (changed("targets.sessions", ["s9"]), "'targets.sessions' names 's9'"),
        (changed("circuits.models", ["students"]), "'circuits.models' names students; set compact.teacher"),
        (changed("adversarial.epsilons", [0.03, 0.01]), "'adversarial.epsilons' is .* ascending order"),
        (changed("adversarial.architectures", ["deep"]), "'adversarial.architectures' names 'deep'"),
        (changed("encoders.use_architectures", ["deep"]), "'encoders.use_architectures' names 'deep'"),
        (changed("synthesis.architectures", ["deep"]), "'synthesis.architectures' names 'deep'"),
        (
            changed(
                "encoders.architectures.a", {"core": {"name": "c"}, "readout": {"name": "r"}, "training": {"epoch": 2}}
            ),
            "'encoders.architectures.a.training.epoch' is unknown; known here: adversarial, batch_size",
        ),
        (changed("encoders.architectures.a", {"core": {"name": "c"}}), "'encoders.architectures.a.readout' is missing"),
        (
            changed("encoders.architectures.a", {"combined": ["b", "c"]}),
            "'encoders.architectures.a.combined' names 'b'",
        ),
        (
            changed("encoders.architectures.a", {"combined": ["b", "c"], "size": 32}),
            "'encoders.architectures.a.size' is set for a combined",
        ),
        (changed("encoders.architectures.a", {"refit": "b"}), "a.refit' names 'b'; known: none, since .* replace"),
        (changed("encoders.architectures.a", {"refit": "attention", "size": 32}), "'.*a.size' is set for a refit"),
        (
            {
                **changed("encoders.training.loss", "poisson"),
                "encoders": {
                    "training": {"loss": "poisson"},
                    "architectures": {
                        "a": {"core": {"name": "c"}, "readout": {"name": "attention"}},
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
                    "core": {"name": "task_driven", "backbone": {"name": "b"}},
                    "readout": {"name": "r"},
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
            changed("synthesis.methods.evolution.generator", {"name": "deepsim", "weights": "absent.pt"}),
            "'synthesis.methods.evolution.generator.weights' names no file",
        ),
        (
            changed("evolution.conditions.x.generator.name", "deepsim"),
            "'evolution.conditions.x.generator.weights' names no file",
        ),
        (
            changed("evolution.conditions.x.generator", {"name": "autoencoder", "weights": "absent"}),
            "'evolution.conditions.x.generator.weights' names no folder",
        ),
        (
            changed("evolution.conditions.x.generator.name", "autoencoder"),
            "'evolution.conditions.x.generator.weights' names no folder",
        ),
        (changed("evolution.conditions.x.arch", "b"), r"'evolution.conditions.x.arch' names 'b'"),
        (changed("evolution.conditions.x.spikes", 0), "'evolution.conditions.x.spikes'"),
        (changed("evolution.conditions.x.sweep", {"population": 10}), "'evolution.conditions.x.sweep.population'"),
        (
            {**changed("synthesis.methods.evolution", {}), "decoder": {"widths": [16] * 4}},
            "'images.size' is 56; the decoder needs a multiple of 16",
        ),
        (changed("name", "a/b"), "'name'"),
        (changed("sessions", {}), "'sessions'"),
    ],
)
def test_mistakes_name_their_key(config, message):
    with pytest.raises(V4eggError, match=message) as caught:
        check(config, SCHEMA)
    assert "\n" not in str(caught.value)
