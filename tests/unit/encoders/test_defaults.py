"""What a class defaults to is what a configuration defaults to."""

import inspect
import typing

import pytest

from v4egg.encoders.readouts import REFITTED
from v4egg.encoders.registry import BACKBONES, CORES, READOUTS
from v4egg.registry import load
from v4egg.xdream.generators import IMAGE_GENERATORS
from v4egg.xdream.optimizers import OPTIMIZERS

REGISTRIES = {**CORES, **READOUTS, **REFITTED, **BACKBONES, **IMAGE_GENERATORS, **OPTIMIZERS}


def configured(options):
    """The class that options build."""
    named = getattr(options, "readout", None) or getattr(options, "optimizer", None)
    return named or typing.get_type_hints(options.build)["return"]


@pytest.mark.parametrize("name", REGISTRIES)
def test_a_default_is_stated_once_or_twice_the_same(name):
    options = load(REGISTRIES[name].target)
    parameters = inspect.signature(configured(options).__init__).parameters
    of_options = {key: field.get_default(call_default_factory=True) for key, field in options.model_fields.items()}
    of_class = {key: value.default for key, value in parameters.items() if value.default is not inspect.Parameter.empty}
    shared = of_options.keys() & of_class.keys()
    assert {key: of_class[key] for key in shared} == {key: of_options[key] for key in shared}


@pytest.mark.parametrize("name", ["residual", "depth_separable", "attention", "gaussian", "factorized"])
def test_classes_that_have_defaults_share_them_with_their_options(name):
    options = load(REGISTRIES[name].target)
    parameters = inspect.signature(configured(options).__init__).parameters
    assert set(options.model_fields) <= set(parameters)
