"""Export of ensembles: the same outputs after a round trip, the hub's layout, and one line for whatever is wrong."""

import json
import re

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from torch import nn

from v4egg.encoders import backbones
from v4egg.encoders.encoder import Encoder, make_encoder
from v4egg.encoders.ensemble import Ensemble
from v4egg.encoders.export import export_ensemble, load_export, main
from v4egg.errors import V4eggError
from v4egg.io.files import sha256_of
from v4egg.registry import Entry

READOUTS = {"attention": {"name": "attention", "dim": 8}, "gaussian": {"name": "gaussian", "sigma": 0.2}}
ROLES = ("generator", "validator")


class Tiny(backbones.Backbone):
    """A frozen network that says where its weights came from."""

    def __init__(self, weights="", grid=4):
        super().__init__()
        self.grid, self.layer = grid, nn.Conv2d(3, 6, 3, padding=1)

    def load_pretrained(self, prior=None):
        """Its weights are those that it is made with."""

    def stages(self, images):
        return [self.layer(images)]


class TinyOptions(backbones.BackboneOptions):
    """Options of the tiny network."""

    weights: str = ""

    def build(self):
        return Tiny(self.weights, 4)


def member(place, arch="attention", core=None, output="identity", readout=None):
    torch.manual_seed(place)
    core = core or {"name": "residual", "channels": 8, "blocks": 1}
    spec = {"size": 16, "channels": 3, "mean": [0.5] * 3, "std": [0.2] * 3, "output": output}
    encoder = Encoder(["s1-u000", "s1-u007", "s2-u001"], {**spec, "core": core, "readout": readout or READOUTS[arch]})
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
    encoder.arch, encoder.member, encoder.role = arch, f"m{place}", ROLES[place % 2]
    return encoder.eval().requires_grad_(False)


def two(**options):
    return Ensemble([member(0, **options), member(1, **options)])


@pytest.fixture
def exported(tmp_path):
    return export_ensemble(two(), tmp_path / "export")


def refusal(call, *arguments, **options):
    with pytest.raises(V4eggError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def edit_weights(folder, change):
    """Change tensors, and the digest with them."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file({key: tensor.clone() for key, tensor in tensors.items()}, path)
    edit(folder, lambda config: config.update(weights_sha256=sha256_of(path)))


@pytest.mark.parametrize("output", ["identity", "elu+1"])
@pytest.mark.parametrize("arch", READOUTS)
def test_round_trip_is_bit_identical(tmp_path, arch, output):
    ensemble, images = two(arch=arch, output=output), torch.rand(4, 3, 20, 20)
    again = load_export(export_ensemble(ensemble, tmp_path / "new" / "export"))
    units = torch.tensor([2, 0, 1, 1])
    assert torch.equal(again(images), ensemble(images))
    assert torch.equal(again.paired(images, units), ensemble.paired(images, units))
    assert torch.equal(again.generators()(images), ensemble.members[0](images))
    assert torch.equal(again.validators()(images), ensemble.members[1](images))
    assert not torch.equal(again.generators()(images), again.validators()(images))
    assert again.units == ensemble.units
    assert [(m.arch, m.member, m.role) for m in again.members] == [(arch, "m0", "generator"), (arch, "m1", "validator")]
    assert not any(p.requires_grad for p in again.parameters())
    assert not any(module.training for module in again.modules())


def test_stores_export_like_the_ensemble_they_hold(tmp_path, exported):
    paths = [tmp_path / f"m{place}.zarr" for place in range(2)]
    for place, path in enumerate(paths):
        member(place).save(path, arch="attention", member=f"m{place}", role=ROLES[place])
    folder = export_ensemble(paths, tmp_path / "from-stores")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    for path in folder.iterdir():
        assert path.read_bytes() == (exported / path.name).read_bytes(), path.name
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1, "the weights are as readable as the rest"
    single = export_ensemble(paths[1], tmp_path / "single")
    assert [m.member for m in load_export(single).members] == ["m1"]


def test_weights_are_the_state_dict_and_channels_last_is_no_matter(tmp_path, exported):
    ensemble = two()
    tensors = load_file(exported / "model.safetensors")
    assert tensors.keys() | json.loads((exported / "config.json").read_text())["shared"].keys() == set(
        ensemble.state_dict()
    )
    ensemble.to(memory_format=torch.channels_last)
    folder = export_ensemble(ensemble, tmp_path / "channels-last")
    assert (folder / "model.safetensors").read_bytes() == (exported / "model.safetensors").read_bytes()


def test_a_shared_frozen_network_lies_there_once_and_its_folder_stays_private(tmp_path, monkeypatch):
    monkeypatch.setitem(backbones.BACKBONES, "tiny", Entry(f"{__name__}:TinyOptions"))
    backbone = {"name": "tiny", "weights": "/home/somebody/net.pt"}
    ensemble = two(core={"name": "task_driven", "backbone": backbone, "channels": 4, "blocks": 0})
    frozen = ensemble.members[0].core.backbone.state_dict()
    for other in ensemble.members:
        other.core.backbone.load_state_dict(frozen)
    folder = export_ensemble(Ensemble(list(ensemble.members)), tmp_path / "export")
    names = [key for key in load_file(folder / "model.safetensors") if ".backbone." in key]
    assert sorted(names) == [f"members.0.core.backbone.layer.{name}" for name in ("bias", "weight")]
    again, images = load_export(folder), torch.rand(2, 3, 16, 16)
    assert torch.equal(again(images), ensemble(images))
    assert again.members[0].core.backbone is again.members[1].core.backbone
    assert "somebody" not in (folder / "config.json").read_text()
    assert again.members[0].spec["core"]["backbone"]["weights"] == "net.pt"


def test_a_core_for_each_group_of_sessions(tmp_path):
    spec = member(0).spec
    groups = {"one": ["s1-u000", "s1-u007"], "two": ["s2-u001"]}
    grouped = [make_encoder([*groups["one"], *groups["two"]], {**spec, "core_groups": groups}).eval() for _ in ROLES]
    for place, encoder in enumerate(grouped):
        encoder.arch, encoder.member, encoder.role = "by_session", f"m{place}", ROLES[place]
    ensemble, images = Ensemble(grouped), torch.rand(2, 3, 16, 16)
    again = load_export(export_ensemble(ensemble, tmp_path / "export"))
    assert torch.equal(again(images), ensemble(images))
    assert [part.units for part in again.members[1].parts] == list(groups.values())


def test_config_says_what_a_user_must_know(exported):
    config = json.loads((exported / "config.json").read_text())
    assert config["format_version"] == 2
    assert config["architecture"] == "attention"
    assert config["units"] == ["s1-u000", "s1-u007", "s2-u001"]
    assert config["images"]["range"] == [0, 1]
    assert config["responses"]["unit"].startswith("z-score")
    assert [(entry["name"], entry["role"]) for entry in config["members"]] == [("m0", "generator"), ("m1", "validator")]
    assert config["members"][0]["spec"] == member(0).spec


def test_the_hub_reads_the_model_card(tmp_path):
    scores = {"s1": {"n": 3, "correlation_to_average": 0.5, "feve": None, "r2_er": float("nan")}}
    folder = export_ensemble(two(), tmp_path / "export", license="cc-by-4.0", metrics=scores)
    card = ModelCard.load(folder / "README.md")
    assert (card.data.library_name, card.data.license) == ("v4egg", "cc-by-4.0")
    assert "macaque-v4" in card.data.tags
    results = [(r.dataset_type, r.metric_type, r.metric_value) for r in card.data.eval_results]
    assert results == [("s1", "n", 3.0), ("s1", "correlation_to_average", 0.5)]
    assert "still to be named" not in card.text
    plain = ModelCard.load(export_ensemble(two(), tmp_path / "plain") / "README.md")
    assert (plain.data.license, plain.data.eval_results) == ("other", None)
    assert "licence of the weights is still to be named" in plain.text
    assert "| m1 | validator |" in plain.text


def test_the_example_of_the_model_card_runs(exported):
    code = re.search(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.S)[1]
    names = {}
    exec(code.replace("owner/name", str(exported)), names)
    assert names["responses"].shape == (8, 3)


def test_occupied_folders_are_refused_and_empty_ones_taken(tmp_path, exported):
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    assert "something already; name a new or an empty folder" in refusal(export_ensemble, two(), exported)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    (tmp_path / "file").write_text("")
    assert "something already" in refusal(export_ensemble, two(), tmp_path / "file")
    assert "cannot be written" in refusal(export_ensemble, two(), tmp_path / "file" / "below")
    (tmp_path / "empty").mkdir()
    assert len(load_export(export_ensemble(two(), tmp_path / "empty")).members) == 2


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("v4egg.encoders.export.model_card", killed)
    with pytest.raises(KeyboardInterrupt):
        export_ensemble(two(), tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_members_without_names_or_of_two_architectures_are_refused(tmp_path):
    nameless = member(0)
    del nameless.role
    assert "members[0] has no attribute role" in refusal(export_ensemble, Ensemble([nameless]), tmp_path / "a")
    mixed = Ensemble([member(0), member(1, arch="gaussian")])
    assert "the members are of attention, gaussian" in refusal(export_ensemble, mixed, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="other"), "key 'format' is not"),
        (lambda c: c.update(format_version=1), "key 'format_version' is 1, this v4egg reads 2"),
        (lambda c: c.pop("units"), "key 'units' is missing or no list"),
        (lambda c: c.update(members=[]), "key 'members' is missing or no list"),
        (lambda c: c["members"][1].pop("role"), "key 'members[1].role' is missing or no text"),
        (lambda c: c["members"].append("m2"), "key 'members[2].name' is missing"),
        (lambda c: c["members"][1]["spec"].pop("std"), "key 'members[1].spec' makes no encoder: 'std' is missing"),
        (
            lambda c: c["members"][0]["spec"]["core"].update(name="vgg"),
            "makes no encoder: core 'vgg' is unknown",
        ),
        (lambda c: c["members"][0]["spec"].update(output="exp"), "makes no encoder: 'exp' is missing or unknown"),
        (lambda c: c["members"][0]["spec"].update(mean=["x"]), "key 'members[0].spec' makes no encoder"),
    ],
)
def test_a_wrong_config_is_named_with_its_key(exported, change, words):
    edit(exported, change)
    message = refusal(load_export, exported)
    assert message.startswith(f"{exported / 'config.json'}: ")
    assert words in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("members.1.readout.query"), "key 'members.1.readout.query' is missing"),
        (lambda t: t.update({"members.2.x": torch.ones(1)}), "key 'members.2.x' is none that config.json asks for"),
        (lambda t: t.update({"members.0.readout.bias": torch.ones(4)}), "key 'members.0.readout.bias' is [4], config"),
    ],
)
def test_wrong_weights_are_named_with_their_key(exported, change, words):
    edit_weights(exported, change)
    message = refusal(load_export, exported)
    assert message.startswith(f"{exported / 'model.safetensors'}: ")
    assert words in message


def test_damaged_and_missing_files_are_named(exported):
    weights, config = exported / "model.safetensors", exported / "config.json"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert f"{weights}: damaged, its SHA-256 is" in refusal(load_export, exported)
    weights.write_bytes(data[:100])
    edit(exported, lambda c: c.update(weights_sha256=sha256_of(weights)))
    assert f"{weights}: damaged (" in refusal(load_export, exported)
    weights.unlink()
    assert f"{weights}: no such file" in refusal(load_export, exported)
    config.write_text(config.read_text()[:50])
    assert f"{config}: damaged (" in refusal(load_export, exported)
    config.unlink()
    assert f"{config}: no such file" in refusal(load_export, str(exported))


def test_a_repository_is_downloaded_and_a_folder_is_not(exported, monkeypatch):
    asked = []

    def snapshot(repository, **options):
        asked.append((repository, options["revision"], sorted(options["allow_patterns"])))
        return str(exported)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    images = torch.rand(2, 3, 16, 16)
    local = load_export(exported)
    assert asked == []
    assert torch.equal(load_export("lab/v4-ensemble", revision="v1")(images), local(images))
    assert asked == [("lab/v4-ensemble", "v1", ["config.json", "model.safetensors"])]
    assert "has no revision v1" in refusal(load_export, exported, revision="v1")
    for source in ("nowhere", "/no/such/folder", "a/b/c", "../up"):
        assert f"{source}: no such folder, and no id owner/name" in refusal(load_export, source)
    assert len(asked) == 1


def test_an_unreachable_hub_is_one_line(monkeypatch):
    def snapshot(*_, **__):
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    message = refusal(load_export, "lab/v4-ensemble", revision="v1")
    assert message.startswith("lab/v4-ensemble at v1: no such folder here, and the hub does not give it (no network)")


def test_command_line_takes_members_by_number(tmp_path, capsys):
    arch = tmp_path / "encoders" / "attention"
    for place in (10, 2, 0):
        member(place).save(arch / f"m{place}.zarr", arch="attention", member=f"m{place}", role=ROLES[place % 2])
    for stray in ("m1.zarr.tmp", "mean.zarr"):
        (arch / stray).mkdir()
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps({"encoders": {"attention": {"s1": {"n_units": 2, "correlation_to_average": 0.5}}}}))
    options = ["--license", "mit", "--summary", str(summary)]
    assert main([str(arch), str(tmp_path / "export"), *options]) == 0
    assert "3 members, 3 units" in capsys.readouterr().out
    assert [m.member for m in load_export(tmp_path / "export").members] == ["m0", "m2", "m10"]
    card = ModelCard.load(tmp_path / "export" / "README.md")
    assert [r.metric_type for r in card.data.eval_results] == ["correlation_to_average"]
    assert card.data.license == "mit"


def test_command_line_errors_are_one_line(tmp_path, capsys):
    def line(*arguments):
        assert main([str(argument) for argument in arguments]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
        return error

    assert "no members m0.zarr" in line(tmp_path, tmp_path / "export")
    member(0).save(tmp_path / "m0.zarr", arch="attention", member="m0", role="generator")
    assert "no scores under encoders.attention" in line(tmp_path, tmp_path / "x", "--summary", tmp_path / "no.json")
    assert "something already" in line(tmp_path, tmp_path)
    assert not (tmp_path / "x").exists()
