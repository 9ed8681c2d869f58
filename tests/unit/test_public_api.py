"""The public interface: what `import v4egg` offers, for any torch model, without a change of what is given."""

import ast
import copy
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import v4egg
from v4egg.errors import V4eggError
from v4egg.priors.training import new_prior
from v4egg.synthesis import Aperture, Depress, Differ, Excite, ExciteSparing
from v4egg.synthesis.models import validate_model
from v4egg.synthesis.reconstruction import Targets

ROOT = Path(v4egg.__file__).parent
PACKAGES = tuple(
    "v4egg" if name == "." else f"v4egg.{name}"
    for name in sorted(str(stub.parent.relative_to(ROOT)) for stub in ROOT.glob("**/__init__.pyi"))
)
EGG = {"method": "energy_guided", "steps": 3}
ASCENT = {"method": "gradient_ascent", "steps": 8}
SEARCH = {"method": "evolution", "budget": 80, "image_generator": {"name": "pixels"}}


class Network(torch.nn.Module):
    """A stranger's model of grey images of 64 px, with what training leaves behind: dropout, batch norm, gradients."""

    def __init__(self, units=8, channels=1, size=64):
        super().__init__()
        self.features = torch.nn.Conv2d(channels, 4, 9, stride=4)
        self.norm, self.dropout = torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.5)
        self.readout = torch.nn.Linear(4 * ((size - 9) // 4 + 1) ** 2, units)
        self.norm.eval()  # a part in another mode than the rest

    def forward(self, images):
        return self.readout(self.dropout(torch.relu(self.norm(self.features(images)))).flatten(1))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network()


@pytest.fixture
def model(network):
    return v4egg.wrap_model(network, 8, size=64, channels=1, mean=[0.5], std=[0.2])


@pytest.fixture(scope="module")
def prior():
    """In training mode with gradients, as it comes from training; RGB of 16 px, unlike the model's images."""
    torch.manual_seed(1)
    return new_prior({"size": 16, "channels": 3, "patch_size": 2, "widths": [32, 32], "layers": 1})


def state(module):
    values = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [(p.requires_grad, p.device, p.dtype, p.grad is None) for p in module.parameters()]
    return values, flags, [part.training for part in module.modules()]


def same(before, after):
    equal = all(torch.equal(value, after[0][name]) for name, value in before[0].items())
    return equal and before[1:] == after[1:]


def test_importing_the_package_and_its_parts_does_not_import_torch():
    code = f"""
import sys, importlib
for name in {PACKAGES}: importlib.import_module(name)
import v4egg.synthesis.methods
assert set(v4egg.__all__) <= set(dir(v4egg)), dir(v4egg)
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", PACKAGES)
def test_stubs_name_what_is_there(name):
    package = sys.modules[name] if name in sys.modules else __import__(name, fromlist=["x"])
    stub = ast.parse(Path(package.__file__).with_suffix(".pyi").read_text())
    listed = next(node for node in stub.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__")
    assert sorted(ast.literal_eval(listed.value)) == sorted(package.__all__)
    assert all(getattr(package, public).__doc__ for public in package.__all__)
    assert Path(v4egg.__file__).with_name("py.typed").exists()
    assert v4egg.__version__


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_has_a_runnable_example(name):
    package = __import__(name, fromlist=["x"])
    public = {n: getattr(package, n) for n in package.__all__}
    without = [n for n, value in public.items() if callable(value) and ">>>" not in _docstrings(value)]
    assert without == []


def _docstrings(value):
    methods = vars(value).values() if isinstance(value, type) else ()
    return "".join(inspect.getdoc(part) or "" for part in (value, *filter(callable, methods)))


@pytest.mark.parametrize("options", [EGG, ASCENT, SEARCH], ids=lambda options: options["method"])
def test_any_torch_model_gets_images_and_stays_as_it_was(options, model, network, prior):
    before, before_prior = state(network), state(prior)
    made = v4egg.synthesize_mei(model, units=[7, 0], samples=2, prior=prior, **options)
    size, channels = (16, 3) if options is EGG else (64, 1)
    assert made["image"].shape == (2, 2, channels, size, size)
    assert made["unit"].values.tolist() == ["u007", "u000"]
    assert np.isfinite(made["activation"]).all()
    assert same(before, state(network))
    assert same(before_prior, state(prior))
    alone = v4egg.synthesize_mei(model, units=["u000"], prior=prior, **options)
    assert np.allclose(alone["image"][0, 0], made["image"][1, 0], atol=1e-5)


@pytest.mark.parametrize("options", [EGG, ASCENT], ids=lambda options: options["method"])
def test_after_an_exception_everything_is_as_it_was(options, model, network, prior):
    def interrupted(steps):
        yield next(iter(steps))
        raise KeyboardInterrupt

    before, before_prior = state(network), state(prior)
    with pytest.raises(KeyboardInterrupt):
        v4egg.synthesize_mei(model, [1], prior=prior, progress=interrupted, **options)
    assert same(before, state(network))
    assert same(before_prior, state(prior))


def test_a_channel_or_size_that_the_model_does_not_take_is_one_line(network):
    wrong = v4egg.wrap_model(network, 8, size=64, channels=3, mean=[0.5] * 3, std=[0.2] * 3)
    with pytest.raises(V4eggError, match=r"cannot take images of shape \(n, 3, 64, 64\)") as error:
        v4egg.synthesize_mei(wrong, [0], "gradient_ascent")
    assert "\n" not in str(error.value)
    wrong = v4egg.wrap_model(network, 9, size=64, channels=1, mean=[0.5], std=[0.2])
    with pytest.raises(V4eggError, match="has 9 units; return"):
        v4egg.synthesize_mei(wrong, [0])


class Constant(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, images):
        return torch.full((len(images), 1), self.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda model: v4egg.synthesize_mei(model.model, [0]), "Network has no paired, index, .*wrap_model"),
        (lambda model: v4egg.synthesize_mei(lambda x: x, [0]), "is a function, not a torch module"),
        (lambda model: v4egg.synthesize_mei(model, [0]), "energy_guided needs a prior"),
        (lambda model: v4egg.synthesize_mei(model, [0], "evolution"), "evolution needs a decoder"),
        (lambda model: v4egg.synthesize_mei(model, [0], "magic"), "'magic' is unknown"),
        (lambda model: v4egg.synthesize_mei(model, [0], "gradient_ascent", stepz=3), "'stepz' is unknown"),
        (lambda model: v4egg.synthesize_mei(model, [8], "gradient_ascent"), "no unit 8; it has 8: u000 to u007"),
        (lambda model: v4egg.synthesize_mei(model, ["x"], "gradient_ascent"), "no unit x"),
        (lambda model: v4egg.synthesize_mei(model, [1, 1], "gradient_ascent"), "u001 is named twice"),
        (lambda model: v4egg.synthesize_mei(model, [1], "gradient_ascent", samples=0), "samples is 0"),
        (lambda model: v4egg.synthesize_mei(model, [1], "gradient_ascent", device="nowhere"), "'nowhere' cannot be"),
        (
            lambda model: v4egg.synthesize_mei(model, [1], "gradient_ascent", uncertainty_penalty=1.0),
            "needs an ensemble, and WrappedModel has no members",
        ),
        (
            lambda model: v4egg.synthesize_mei(model, [1], "gradient_ascent", energy=Differ(torch.rand(1, 1, 64, 64))),
            "energy is a Differ .*give a function",
        ),
        (lambda model: v4egg.wrap_model(model.model, 8, size=64, channels=2, mean=[0.5], std=[0.2]), "2 channels"),
        (lambda model: v4egg.wrap_model(model.model, 8, size=64, channels=1, mean=[0.5], std=[0.0]), "std is"),
        (
            lambda model: v4egg.wrap_model(model.model, ["a"] * 8, size=64, channels=1, mean=[0.5], std=[0.2]),
            "unit ids repeat",
        ),
        (lambda model: v4egg.search_natural_images(model, [], np.zeros((4, 1, 8, 8), np.uint8), k=1), "no unit is"),
        (lambda model: v4egg.reconstruct(model, [], prior="prior.zarr"), "there are no targets"),
    ],
)
def test_wrong_arguments_are_one_line_of_a_value_error(make, words, model):
    with pytest.raises(ValueError, match=words) as error:
        make(model)
    assert isinstance(error.value, V4eggError)
    assert "\n" not in str(error.value)


def test_models_without_a_gradient_or_a_finite_response_are_named():
    wrapped = v4egg.wrap_model(Constant(1.0), 1, size=8, channels=1, mean=[0.5], std=[0.2])
    with pytest.raises(V4eggError, match="no gradient with respect to the image; use the method evolution"):
        validate_model(wrapped)
    validate_model(wrapped, gradient=False)
    wrapped = v4egg.wrap_model(Constant(float("nan")), 1, size=8, channels=1, mean=[0.5], std=[0.2])
    with pytest.raises(V4eggError, match="the response to a grey image is nan"):
        validate_model(wrapped, gradient=False)


def test_a_model_of_z_scored_images_gets_them():
    class Identity(torch.nn.Module):
        def forward(self, images):
            return images.mean((2, 3))

    stated = {"size": 4, "channels": 1, "mean": [0.5], "std": [0.25]}
    images = torch.full((1, 3, 8, 8), 0.75)  # of another size and colour
    assert v4egg.wrap_model(Identity(), 1, **stated)(images).item() == pytest.approx(0.75)
    assert v4egg.wrap_model(Identity(), 1, **stated, zscored=True)(images).item() == pytest.approx(1.0)


def test_a_model_with_cheap_pairs_is_asked_for_those():
    class Separate(Network):
        def paired(self, images, units):
            return self(images).gather(1, units[:, None])[:, 0] + 1

    wrapped = v4egg.wrap_model(Separate().eval(), 8, size=64, channels=1, mean=[0.5], std=[0.2])
    images, units = torch.rand(2, 1, 64, 64), torch.tensor([3, 5])
    assert torch.allclose(wrapped.paired(images, units), wrapped(images, units).diagonal() + 1, atol=1e-5)


def test_energies_and_constraints_of_ones_own(model):
    def response(made):
        with torch.no_grad():
            return copy.deepcopy(model).eval()(torch.from_numpy(made["image"].values[:, 0]))

    options = {"method": "gradient_ascent", "steps": 20, "norm": 20.0}
    most = v4egg.synthesize_mei(model, [3], **options)
    least = v4egg.synthesize_mei(model, [3], energy=Depress, **options)
    assert (response(least)[0, 3] < response(most)[0, 3]).all()

    def sparing(model, units):
        return ExciteSparing(model, units, others=torch.arange(8), weight=5.0)

    spared = response(v4egg.synthesize_mei(model, [3], energy=sparing, **options))[0]
    others = torch.arange(8) != 3
    assert spared[3] - spared[others].mean() * 5 > response(most)[0, 3] - response(most)[0][others].mean() * 5

    earlier = torch.from_numpy(most["image"].values[0])

    def different(model, units):
        return Excite(model, units) + 100 * Differ(earlier)

    other = torch.from_numpy(v4egg.synthesize_mei(model, [3], energy=different, **options)["image"].values[0])
    assert np.corrcoef(other.flatten(), earlier.flatten())[0, 1] < 0.5
    window = Aperture.disc(64, (31.5, 31.5), 10)
    seen = v4egg.synthesize_mei(model, [3], constraint=window, **options)["image"].values[0, 0, 0]
    assert np.allclose(seen[:20], 0.5, atol=1e-6)
    assert seen[25:38, 25:38].std() > 0.05


def test_the_siblings_take_objects_and_leave_them(model, network, prior):
    before = state(network), state(prior)
    images = np.random.default_rng(0).integers(0, 255, (6, 1, 64, 64), dtype=np.uint8)
    found = v4egg.search_natural_images(model, [2], images, k=2)
    copied = copy.deepcopy(model).eval()
    with torch.no_grad():
        responses = copied(torch.from_numpy(images).float() / 255)[:, 2]
    assert found["position"].values[0].tolist() == responses.argsort(descending=True)[:2].tolist()
    meni = v4egg.synthesize_meni(model, [2], [0, 5], prior=prior, steps=2)
    assert meni["image"].shape == (1, 2, 1, 3, 16, 16)
    diverse = v4egg.synthesize_diverse(model, [2], [1], samples=2, prior=prior, steps=2)
    assert diverse["image"].shape == (1, 1, 2, 3, 16, 16)
    targets = [Targets(["a", "b"], images[:2])]
    made = v4egg.reconstruct(model, targets, prior=prior, steps=2, descent_steps=2)
    assert made["reconstruction"].shape == (1, 2, 2, 1, 64, 64)
    assert made["source"].values.tolist() == ["predicted"]
    with pytest.raises(V4eggError, match="some targets have recorded responses and others have none"):
        mixed = [*targets, Targets(["c"], images[:1], ["u001"], np.zeros((1, 1), np.float32))]
        v4egg.reconstruct(model, mixed, prior=prior)
    assert same(before[0], state(network))
    assert same(before[1], state(prior))
