"""The published compact models: against an independent forward pass, and against published numbers where data is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

from v4egg.compact.network import CHANNEL_MEANS
from v4egg.compact.published import load_published_models
from v4egg.errors import V4eggError
from v4egg.recordings.readers.cowley import read_cowley
from v4egg.seeding import torch_generator

WIDTHS = {0: (4, 6, 3, 3, 3), 1: (5, 3, 4, 3, 3), 10: (3, 3, 3, 3, 5)}


def random_state(widths, *key):
    """A state dict with the names and shapes of a published file, in float64."""
    rng = torch_generator("published model", *key)

    def normal(*shape, scale=1.0):
        return torch.randn(*shape, generator=rng, dtype=torch.float64) * scale

    state = {"layer0_conv.weight": normal(widths[0], 3, 5, 5, scale=0.02), "layer0_conv.bias": normal(widths[0])}
    for layer in range(1, 5):
        fan_in, width = widths[layer - 1], widths[layer]
        state[f"layer{layer}_conv_depth.weight"] = normal(fan_in, 1, 5, 5, scale=0.3)
        state[f"layer{layer}_conv_point.weight"] = normal(width, fan_in, 1, 1)
        state[f"layer{layer}_conv_point.bias"] = normal(width)
    for layer, width in enumerate(widths):
        state[f"layer{layer}_bn.weight"] = normal(width)
        state[f"layer{layer}_bn.bias"] = normal(width)
        state[f"layer{layer}_bn.running_mean"] = normal(width)
        state[f"layer{layer}_bn.running_var"] = normal(width).abs() + 0.1
        state[f"layer{layer}_bn.num_batches_tracked"] = torch.tensor(0)
    state["Beta.weight"] = normal(1, 28 * 28 * widths[-1], scale=0.02)
    state["Beta.bias"] = normal(1)
    return {f"layers.{name}": tensor for name, tensor in state.items()}


def plain_forward(state, images):
    """The published network written out layer by layer in float64, nothing folded, with explicit padding."""
    s = {name.removeprefix("layers."): tensor for name, tensor in state.items()}
    x = images.double() * 255 - torch.tensor(CHANNEL_MEANS, dtype=torch.float64).view(3, 1, 1)
    for layer in range(5):
        if layer == 0:
            x = functional.conv2d(x, s["layer0_conv.weight"], s["layer0_conv.bias"], padding=2)
        else:
            stride, padding = (2, (1, 3, 1, 3)) if layer < 3 else (1, (2, 2, 2, 2))
            x = functional.pad(x, padding)
            x = functional.conv2d(x, s[f"layer{layer}_conv_depth.weight"], stride=stride, groups=x.shape[1])
            x = functional.conv2d(x, s[f"layer{layer}_conv_point.weight"], s[f"layer{layer}_conv_point.bias"])
        norm = [s[f"layer{layer}_bn.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        x = functional.batch_norm(x, *norm, training=False, eps=1e-5).relu()
    assert x.shape[2:] == (28, 28)
    flat = torch.stack([torch.cat([x[b, :, i, j] for i in range(28) for j in range(28)]) for b in range(len(x))])
    return flat @ s["Beta.weight"][0] + s["Beta.bias"][0]


def model_path(folder, neuron):
    return folder / f"data_compact_models/models_torch/compact_model_200101_neuron{neuron}.pt"


@pytest.fixture(scope="module")
def states():
    return {neuron: random_state(widths, neuron) for neuron, widths in WIDTHS.items()}


@pytest.fixture
def folder(tmp_path, states):
    model_path(tmp_path, 0).parent.mkdir(parents=True)
    for neuron, state in states.items():
        torch.save(state, model_path(tmp_path, neuron))
    return tmp_path


@pytest.fixture(scope="module")
def models(tmp_path_factory, states):
    root = tmp_path_factory.mktemp("models")
    model_path(root, 0).parent.mkdir(parents=True)
    for neuron, state in states.items():
        torch.save(state, model_path(root, neuron))
    return load_published_models(root, "s200101")


def images(n=3, size=112):
    return torch.rand(n, 3, size, size, generator=torch_generator("published model images", size))


def test_forward_equals_the_plain_network(models, states):
    expected = torch.stack([plain_forward(state, images()) for state in states.values()], dim=1)
    found = models(images())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    assert models.units == ["s200101-u000", "s200101-u001", "s200101-u010"]


def test_chosen_units_and_pairs_are_entries_of_the_whole(models):
    shown = images(6)
    whole = models(shown)
    torch.testing.assert_close(models(shown, [2, 0]), whole[:, [2, 0]])
    units = torch.tensor([2, 0, 2, 1, 0, 2])
    torch.testing.assert_close(models.paired(shown, units), whole[torch.arange(6), units])
    assert models(shown, []).shape == (6, 0)
    assert models.paired(shown[:0], []).shape == (0,)
    assert models(shown[:0]).shape == (0, 3)


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, 6))
def test_responses_do_not_depend_on_the_batch(models, cut):
    shown = images(7)
    torch.testing.assert_close(
        torch.cat([models(shown[:cut]), models(shown[cut:])]), models(shown), rtol=1e-5, atol=1e-5
    )


def test_quick_responses_are_nearly_the_exact_ones_and_end_with_their_context(models, monkeypatch):
    exact, spread = models(images(8)), models(images(8)).std(0)
    monkeypatch.setattr("v4egg.compact.network.fast_bf16", lambda device: True)
    with pytest.raises(KeyboardInterrupt), models.reduced_precision():
        reduced_precision = models(images(8))
        raise KeyboardInterrupt
    assert not torch.equal(reduced_precision, exact)
    assert ((reduced_precision - exact).abs() < 0.05 * spread).all()
    assert torch.equal(models(images(8)), exact)
    monkeypatch.setattr("v4egg.compact.network.fast_bf16", lambda device: False)
    with models.reduced_precision():
        assert torch.equal(models(images(8)), exact)


@pytest.mark.parametrize("size", [56, 150, 224])
def test_images_of_other_sizes_are_resized(models, size):
    # Pillow's bilinear filter widens with the reduction, so noise is averaged and not sampled
    planes = [
        Image.fromarray(plane).resize((112, 112), Image.Resampling.BILINEAR) for plane in images(1, size)[0].numpy()
    ]
    resized = torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))[None]
    torch.testing.assert_close(models(images(1, size)), models(resized), rtol=1e-3, atol=1e-3)


def test_gradient_reaches_the_images_and_no_parameter_learns(models):
    shown = images(2, 56).requires_grad_()
    models.paired(shown, [0, 2]).sum().backward()
    assert shown.grad.shape == shown.shape
    assert (shown.grad.flatten(1).norm(dim=1) > 0).all()
    assert list(models.parameters()) == []


def test_gradient_agrees_with_finite_differences(models):
    shown = images(1).requires_grad_()
    models(shown, [0]).sum().backward()
    step = shown.grad / shown.grad.norm()
    with torch.no_grad():
        rise = models(shown + 1e-2 * step, [0]) - models(shown - 1e-2 * step, [0])
    assert rise.item() / 2e-2 == pytest.approx(shown.grad.norm().item(), rel=0.1)


def refusal(call, *arguments):
    with pytest.raises(V4eggError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_wrong_inputs(models):
    assert "take (B, 3, H, W), or grey ones" in refusal(models, images()[:, :2])
    assert "take (B, 3, H, W), or grey ones" in refusal(models, images()[0])
    assert "unit 3: there are compact models of 3 units" in refusal(models, images(), [3])
    assert "give each image one unit" in refusal(models.paired, images(), [0])


def test_neurons_can_be_chosen(folder, models):
    chosen = load_published_models(folder, "s200101", [10, 0])
    assert chosen.units == ["s200101-u010", "s200101-u000"]
    torch.testing.assert_close(chosen(images()), models(images())[:, [2, 0]])
    assert "has no published model of neuron 7" in refusal(load_published_models, folder, "s200101", [7])


def test_missing_models(folder):
    assert "no published compact models of session s200102" in refusal(load_published_models, folder, "s200102")
    message = refusal(load_published_models, folder, "s190923")
    assert "compact_model_190923_neuron0.pt: no such file" in message
    assert "V4EGG_DATA" in message


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("layer2_conv_point.weight", torch.zeros(3, 5, 1, 1), "is (3, 5, 1, 1), expected (3, 6, 1, 1)"),
        ("Beta.weight", torch.zeros(1, 12), "is (1, 12), expected (1, 2352)"),
        ("layer0_bn.running_var", None, "is missing, expected (4,)"),
        ("layer3_conv_point.weight", None, "is missing"),
    ],
)
def test_a_file_of_another_network(folder, states, name, tensor, message):
    state = {**states[0], f"layers.{name}": tensor}
    torch.save({key: value for key, value in state.items() if value is not None}, model_path(folder, 0))
    told = refusal(load_published_models, folder, "s200101")
    assert f"compact_model_200101_neuron0.pt: tensor layers.{name} {message}" in told


def test_numbers_of_filters_are_checked(folder):
    numbers = folder / "data_compact_models/nums_filters/compact_model_200101_neuron0.npy"
    numbers.parent.mkdir()
    np.save(numbers, np.array(WIDTHS[0]))
    assert load_published_models(folder, "s200101", [0]).units == ["s200101-u000"]
    np.save(numbers, np.array([9, 6, 3, 3, 3]))
    assert "tensor layers.layer0_conv.weight is (4, 3, 5, 5), expected (9, 3, 5, 5)" in refusal(
        load_published_models, folder, "s200101"
    )
    np.save(numbers, np.array([4, 6]))
    assert "expected 5 numbers of filters" in refusal(load_published_models, folder, "s200101")


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(folder, states, tmp_path):
    torch.save(states[0] | {"extra": Canary(tmp_path / "sung")}, model_path(folder, 0))
    assert "neuron0.pt: not a readable torch file" in refusal(load_published_models, folder, "s200101")
    assert not (tmp_path / "sung").exists()


def test_damaged_model_files(folder):
    model_path(folder, 0).write_bytes(model_path(folder, 1).read_bytes()[:500])
    assert "neuron0.pt: not a readable torch file" in refusal(load_published_models, folder, "s200101")
    torch.save(torch.zeros(3), model_path(folder, 0))
    assert "neuron0.pt: not a readable torch file" in refusal(load_published_models, folder, "s200101")


def test_golden_responses(public_data):
    recording = read_cowley(public_data, "s190923")
    shown = torch.from_numpy(recording.images[600:603]).float() / 255
    found = load_published_models(public_data, "s190923", [0])(shown)[:, 0]
    torch.testing.assert_close(found, torch.tensor([-0.670, -1.109, -0.437]), rtol=0, atol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("session", "mean", "median"), [("s190923", 0.639, 0.635), ("s201025", 0.675, 0.688)])
def test_published_correlations(public_data, session, mean, median):
    recording = read_cowley(public_data, session)
    half = len(recording.images) // 2
    with torch.no_grad():
        predicted = load_published_models(public_data, session)(
            torch.from_numpy(recording.images[half:]).float() / 255
        ).numpy()
    measured = recording.counts[half:, 0]
    correlations = [np.corrcoef(predicted[:, unit], measured[:, unit])[0, 1] for unit in range(predicted.shape[1])]
    assert np.mean(correlations) == pytest.approx(mean, abs=5e-3)
    assert np.median(correlations) == pytest.approx(median, abs=5e-3)
