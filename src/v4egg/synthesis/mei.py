"""Most exciting images of the units of a model, by any method of synthesis."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from v4egg.device import borrowed, device_of
from v4egg.errors import V4eggError
from v4egg.io.checkpoints import Checkpoint
from v4egg.priors.prior import Prior
from v4egg.registry import options_of, required_stores
from v4egg.seeding import torch_generator
from v4egg.synthesis.constraints import Constraint, display_constraint
from v4egg.synthesis.energies import Energy, Excite
from v4egg.synthesis.jitter import Jitter, Jittered
from v4egg.synthesis.method import MethodOptions, Task
from v4egg.synthesis.methods import METHODS
from v4egg.synthesis.models import ResponseModel, model_device, unit_ids, validate_model
from v4egg.synthesis.result import Synthesis

EnergyOf = Callable[[Any, Tensor], Energy]  # model and target unit of each image -> energy
Pairs = Sequence[tuple[str, int]]  # unit id and sample of each image of a batch


def synthesize_mei(
    model: ResponseModel,
    units: Sequence[str | int],
    method: str = "energy_guided",
    *,
    prior: Prior | str | Path | None = None,
    decoder: nn.Module | str | Path | None = None,
    samples: int = 1,
    seed: int = 0,
    device: str | torch.device | None = None,
    energy: EnergyOf = Excite,
    constraint: Constraint | None = None,
    progress: Callable[[Any], Any] = iter,
    checkpoint: Checkpoint | None = None,
    **options: Any,
) -> xr.Dataset:
    """Most exciting images (MEIs) of units: images to which the model responds most.

    The model, the units, the device and the options are checked before anything is computed. Model, prior and decoder
    are left as they were, also if an exception is raised; where they are on another device, copies are used.

    Args:
        model: an encoder, an ensemble (such as ``load_encoder(paths).generators()``), or any torch model wrapped by
            :func:`v4egg.wrap_model`.
        units: unit ids, or positions among the model's units; none gives an empty result.
        method: ``energy_guided`` (EGG, Pierzchlewicz et al., NeurIPS 2023), ``gradient_ascent`` or ``evolution``
            (XDream); a name of :data:`v4egg.synthesis.methods.METHODS`.
        prior: the diffusion prior (:func:`v4egg.load_prior`), or the path of its store, for ``energy_guided``.
        decoder: the image generator of ``evolution`` that the workflow trains
            (:func:`v4egg.xdream.generators.decoder.load_decoder`), or the path of its store.
        samples: images per unit.
        seed: every random draw is keyed by (seed, method, unit id, sample), so that no image depends on the others.
        device: where to compute; None: where the model is.
        energy: model and index tensor of the target unit of each image -> energy to minimise. The default is
            :class:`~v4egg.synthesis.energies.Excite`; others are :class:`~v4egg.synthesis.energies.Depress` and
            :class:`~v4egg.synthesis.energies.ExciteSparing`, or a function that adds energies.
        constraint: applied to images before the L2 norm and the pixel range, such as an
            :class:`~v4egg.synthesis.constraints.Aperture`.
        progress: wraps the range of steps, such as ``tqdm.tqdm``.
        checkpoint: where ``evolution`` keeps its state, to go on after an interruption.
        options: of the method, see :class:`~v4egg.synthesis.energy_guided.EnergyGuided`,
            :class:`~v4egg.synthesis.gradient_ascent.GradientAscent` and :class:`~v4egg.xdream.evolved.Evolved`; such as
            ``steps``, ``energy_scale``, ``norm`` (L2 norm of the z-scored image), ``uncertainty_penalty`` and
            ``jitter``.

    Returns:
        A dataset of kind ``mei``: ``image`` [unit, sample, channel, y, x] in [0, 1]; ``activation`` [unit, sample,
        step], the negative energy on the way, which is the predicted response for the default energy;
        ``evaluations`` and ``seconds`` [unit, sample].

    Raises:
        V4eggError: the model cannot be used, has no such unit, the device cannot be used, the method or an option is
            unknown or impossible, the prior or decoder is missing, or the energy is not finite.

    Example:
        >>> import torch, v4egg
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
        >>> model = v4egg.wrap_model(network, ["a", "b", "c"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> meis = v4egg.synthesize_mei(model, ["c", "a"], "gradient_ascent", samples=2, steps=10, norm=10.0)
        >>> meis["image"].shape
        (2, 2, 1, 8, 8)
        >>> bool((meis["activation"][:, :, -1] > meis["activation"][:, :, 0]).all())
        True
    """
    chosen: MethodOptions = options_of(METHODS, method, options, "method of synthesis")
    stores = {name: item for name, item in {"prior": prior, "decoder": decoder}.items() if item is not None}
    validate_model(model, gradient=chosen.uses_gradient)
    _check_required(method, chosen, stores)
    pairs = sample_pairs(unit_ids(model, units), samples)
    if not pairs:
        return _dataset(model, [], samples, None)
    with borrowed_all(model, stores, device) as (local_model, local_stores):
        task = Task(
            energy=mei_energy(local_model, pairs, chosen, (seed, method), energy),
            rngs=[torch_generator(seed, method, *pair) for pair in pairs],
            stimulus_spec=local_model.stimulus_spec,
            constraint=display_constraint(chosen.norm, local_model.stimulus_spec, constraint),
            device=str(device_of(local_model)),
            progress=progress,
            stores=local_stores,
            checkpoint=checkpoint,
        )
        return _dataset(model, list(dict.fromkeys(unit for unit, _ in pairs)), samples, chosen.synthesize(task))


def mei_energy(
    model: ResponseModel, pairs: Pairs, options: Any, key: tuple[object, ...], energy: EnergyOf = Excite
) -> Energy:
    """The energy of exciting the unit of each image.

    Args:
        model: predicts the responses.
        pairs: unit id and sample of each image.
        options: of a method or a sweep; their ``uncertainty_penalty``, and ``jitter`` where there is one.
        key: what the draws of the jitter are keyed by, beside unit and sample.
        energy: see :func:`synthesize_mei`.

    Raises:
        V4eggError: ``energy`` does not take an uncertainty penalty, or does not return an energy.
    """
    units = model.index([unit for unit, _ in pairs]).to(model_device(model))
    penalty = {"uncertainty_penalty": options.uncertainty_penalty} if options.uncertainty_penalty else {}
    if isinstance(energy, Energy):
        raise V4eggError(
            f"energy is a {type(energy).__name__} for images of its own; give a function of model and units, such as "
            "lambda model, units: Excite(model, units) + energy"
        )
    objective = energy(model, units, **penalty)
    jitter: Jitter | None = getattr(options, "jitter", None)
    if jitter is None or not jitter.copies:
        return objective
    rngs = [torch_generator(*key, "jitter", *pair) for pair in pairs]
    return Jittered(objective, rngs, **jitter.model_dump())


def sample_pairs(units: Sequence[str], samples: int) -> list[tuple[str, int]]:
    """Unit id and number of the sample of each image of a batch, units first.

    Raises:
        V4eggError: there is less than one sample.
    """
    if samples < 1:
        raise V4eggError(f"samples is {samples}; make at least one image per unit")
    return [(unit, sample) for unit in units for sample in range(samples)]


@contextmanager
def borrowed_all(
    model: Any, stores: Mapping[str, Any], device: str | torch.device | None
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A model and the modules among ``stores``, borrowed on one device (:func:`v4egg.device.borrowed`); paths stay."""
    with ExitStack() as stack:
        local_model = stack.enter_context(borrowed(model, device))
        local_stores = {
            name: stack.enter_context(borrowed(item, device_of(local_model))) if isinstance(item, nn.Module) else item
            for name, item in stores.items()
        }
        yield local_model, local_stores


def _check_required(method: str, options: MethodOptions, stores: Mapping[str, Any]) -> None:
    for name in required_stores(METHODS, method, options.model_dump(), "method of synthesis"):
        if name not in stores:
            raise V4eggError(
                f"the method {method} needs a {name}; give {name}=..., loaded or the path of its store "
                f"(results/<name>/{name}.zarr)"
            )


def _dataset(model: ResponseModel, units: Sequence[str], samples: int, synthesis: Synthesis | None) -> xr.Dataset:
    cost, shape = ("unit", "sample"), (len(units), samples)
    stimulus_spec = model.stimulus_spec
    if synthesis is None:
        images = np.zeros((*shape, stimulus_spec.channels, stimulus_spec.size, stimulus_spec.size))
        trajectory, evaluations, seconds = np.zeros((*shape, 0)), np.zeros(shape, int), 0.0
    else:
        images = synthesis.images.cpu().numpy().reshape(*shape, *synthesis.images.shape[1:])
        trajectory = -synthesis.trajectory.cpu().numpy().reshape(*shape, -1)
        evaluations, seconds = np.asarray(synthesis.evaluations), synthesis.seconds / len(synthesis.images)
    return xr.Dataset(
        {
            "image": ((*cost, "channel", "y", "x"), images.astype(np.float32)),
            "activation": ((*cost, "step"), trajectory.astype(np.float32)),
            "evaluations": (cost, np.broadcast_to(evaluations, shape).copy()),
            "seconds": (cost, np.full(shape, seconds, np.float32)),
        },
        {"unit": np.asarray(list(units), object)},
    )
