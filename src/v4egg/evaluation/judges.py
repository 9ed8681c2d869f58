"""Judges: models that score images, and whether they share weights with the models that made them.

:func:`encoder_judges` gives the judges that are encoders trained by the workflow, :func:`load_external_judges` those
that are not (the simulated brain, published compact models), and :func:`compact_judges` those of images that compact
models made.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from v4egg.compact.network import CompactModels
from v4egg.compact.sources import JUDGE_NAMES, STUDENTS
from v4egg.device import device_of
from v4egg.encoders.ensemble import Ensemble
from v4egg.errors import V4eggError
from v4egg.evaluation.external_judges import EXTERNAL_JUDGES
from v4egg.registry import Options, options_of


class ExternalJudge(Options):
    """Base of the options of external judges."""

    @abstractmethod
    def load(self, path: str, session: str) -> nn.Module:
        """The model that judges the units of a session, from its file, store or folder.

        It has ``units`` (its unit ids), ``forward(images, units) -> (n, U)`` and ``paired(images, units) -> (n,)``.
        """


class SimulatedBrainJudge(ExternalJudge):
    """The brain that was simulated: the true responses."""

    def load(self, path: str, session: str) -> nn.Module:
        """See :func:`v4egg.simulation.brain.load_brain`."""
        from v4egg.simulation.brain import load_brain

        return load_brain(path)


class PublishedCompactJudge(ExternalJudge):
    """The compact models of the session's units that were published with the recordings."""

    def load(self, path: str, session: str) -> nn.Module:
        """See :func:`v4egg.compact.published.load_published_models`."""
        from v4egg.compact.published import load_published_models

        return load_published_models(path, session)


@dataclass
class Judge:
    """One or more models that score images, whatever made them.

    A judge is called as a model is: ``judge(images, units)`` gives the responses of all units to all images, and
    ``judge.paired(images, units)`` that of one unit to each image. Units are named by their ids. Each model computes on
    the device that it is on; results are on the device of the images.

    Attributes:
        name: such as ``validators``, ``across``, ``simulated_brain`` or ``published_compact``.
        models: models that together hold all units. Each has ``units`` (its unit ids), ``forward(images, units) ->
            (n, U)`` and ``paired(images, units) -> (n,)``, which take index tensors.
        shares_weights: whether the models, or a frozen part of them, were used to make the images, as generators or in
            the prior.

    Example:
        >>> import torch
        >>> from v4egg import Judge, wrap_model
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> model = wrap_model(network, ["a", "b"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> judge = Judge("mine", [model], shares_weights=False)
        >>> images = torch.rand(3, 1, 8, 8)
        >>> judge(images, ["a", "b"]).shape, judge.paired(images, ["a", "b", "a"]).shape
        (torch.Size([3, 2]), torch.Size([3]))
        >>> judge.independent
        True
    """

    name: str
    models: Sequence[Any]
    shares_weights: bool

    @property
    def independent(self) -> bool:
        """Whether the judge shares no weights with what made the images."""
        return not self.shares_weights

    @torch.no_grad()
    def __call__(self, images: Tensor, units: Sequence[str], batch_size: int = 128) -> Tensor:
        """Responses of all units to all images.

        Args:
            images: (n, C, y, x) in [0, 1].
            units: U unit ids.
            batch_size: images that a model sees at once.

        Returns:
            Responses (n, U); NaN for units that none of the models has.

        Raises:
            V4eggError: the images are not (n, C, y, x).
        """
        _check_images(images, self.name)
        result = torch.full((len(images), len(units)), float("nan"))
        for model in self.models:
            device, index = device_of(model), _index(model)
            columns = [i for i, unit in enumerate(units) if unit in index]
            if not columns:
                continue
            targets = torch.tensor([index[units[i]] for i in columns], device=device)
            for start in range(0, len(images), batch_size):
                rows = slice(start, start + batch_size)
                result[rows, columns] = model(images[rows].to(device), targets).float().cpu()
        return result.to(images.device)

    @torch.no_grad()
    def paired(self, images: Tensor, units: Sequence[str], batch_size: int = 64) -> Tensor:
        """The response of one unit to each image.

        Args:
            images: (n, C, y, x) in [0, 1].
            units: n unit ids, one for each image.
            batch_size: images that a model sees at once.

        Returns:
            Responses (n,); NaN for units that none of the models has.

        Raises:
            V4eggError: the images are not (n, C, y, x), or images and units differ in number.
        """
        _check_images(images, self.name)
        if len(units) != len(images):
            raise V4eggError(f"judge {self.name}: {len(images)} images and {len(units)} units; give one for each image")
        result = torch.full((len(images),), float("nan"))
        for model in self.models:
            device, index = device_of(model), _index(model)
            rows = [i for i, unit in enumerate(units) if unit in index]
            for start in range(0, len(rows), batch_size):
                part = rows[start : start + batch_size]
                targets = torch.tensor([index[units[i]] for i in part], device=device)
                batch = images[torch.tensor(part)].to(device)
                result[part] = model.paired(batch, targets).float().cpu()
        return result.to(images.device)


def encoder_judges(ensembles: Mapping[str, Ensemble], arch: str) -> list[Judge]:
    """The judges that are encoders, for images made by the generators of one architecture.

    A judge counts as sharing weights if it contains a frozen network that the generators contain too, since an image
    that fools that network fools both; or if it reads the workflow's denoiser, which is the prior of energy-guided
    diffusion.

    Args:
        ensembles: architecture -> ensemble of all its members.
        arch: the architecture whose generators made the images; it may be a combined one.

    Returns:
        ``generators``, ``validators`` and, where there are architectures that are not in ``arch``, ``across``: the
        ensemble of all of their members.

    Example:
        >>> from v4egg.encoders import Encoder
        >>> spec = {"core": {"name": "residual", "channels": 8}, "readout": {"name": "gaussian"}, "output": "identity"}
        >>> spec |= {"size": 16, "channels": 1, "mean": [0.5], "std": [0.2]}
        >>> def ensemble(arch):
        ...     members = [Encoder(["s1-u000"], spec) for _ in range(2)]
        ...     for member, role in zip(members, ("generator", "validator")):
        ...         member.arch = member.trained_as = arch
        ...         member.member, member.role = role, role
        ...     return Ensemble(members)
        >>> judges = encoder_judges({"one": ensemble("one"), "other": ensemble("other")}, "one")
        >>> [(judge.name, judge.independent) for judge in judges]
        [('generators', False), ('validators', True), ('across', True)]
    """
    generators, validators = ensembles[arch].generators(), ensembles[arch].validators()
    judges = [
        Judge("generators", [generators], shares_weights=True),
        Judge("validators", [validators], shares_weights=_shares_weights(generators, validators)),
    ]
    trained_as = {_trained_as(member) for member in ensembles[arch].members}
    members = {(m.arch, m.member): m for ensemble in ensembles.values() for m in ensemble.members}
    others = [member for member in members.values() if _trained_as(member) not in trained_as]
    if others:
        across = Ensemble(others)
        judges.append(Judge("across", [across], shares_weights=_shares_weights(generators, across)))
    return judges


def _trained_as(member: Any) -> str:
    """The architecture that a member was trained as: a refit shares the core of the encoder that it refits."""
    return getattr(member, "trained_as", member.arch)


def _shares_weights(generators: Ensemble, judge: Ensemble) -> bool:
    return generators.shares_network(judge) or "denoiser" in judge.frozen_networks()


def _check_images(images: Tensor, name: str) -> None:
    if images.ndim != 4:
        raise V4eggError(f"judge {name}: images of shape {tuple(images.shape)}; give (n, channel, y, x) in [0, 1]")


def _index(model: Any) -> dict[str, int]:
    return {unit: i for i, unit in enumerate(model.units)}


def load_external_judges(sources: Mapping[str, Mapping[str, Any]]) -> list[Judge]:
    """Judges that the workflow did not train: the simulated brain and the published compact models.

    Args:
        sources: session -> ``judge``, a name of :data:`~v4egg.evaluation.external_judges.EXTERNAL_JUDGES`; ``path``,
            its file, store or folder; and ``options``, where it has any.

    Returns:
        One judge for each name, with the models of all sessions that it judges.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from v4egg.simulation.brain import SimulatedBrain, save_brain
        >>> path = str(Path(tempfile.mkdtemp()) / "s1.brain.zarr")
        >>> save_brain(SimulatedBrain(1, image_size=40, seed=0, session="s1", calibrate=False), path)
        >>> [judge] = load_external_judges({"s1": {"judge": "simulated_brain", "path": path}})
        >>> judge(torch.rand(2, 3, 40, 40), ["s1-u000"]).shape, judge.independent
        (torch.Size([2, 1]), True)
    """
    models: dict[str, list[nn.Module]] = {}
    for session, source in sources.items():
        judge = options_of(EXTERNAL_JUDGES, source["judge"], source.get("options", {}), "external judge")
        models.setdefault(source["judge"], []).append(judge.load(source["path"], session))
    return [Judge(name, loaded, shares_weights=False) for name, loaded in models.items()]


def compact_judges(
    model_source: str,
    compact_models: CompactModels,
    ensembles: Mapping[str, Ensemble],
    teachers: Sequence[str],
    external_judges: Mapping[str, Mapping[str, Any]],
) -> list[Judge]:
    """The judges of images that compact models made: the models themselves, each architecture, and external judges.

    Args:
        model_source: where the compact models are from, a name of :data:`v4egg.compact.sources.JUDGE_NAMES`.
        compact_models: those that made the images.
        ensembles: architecture -> ensemble of all its members.
        teachers: architectures that the students learned from. An image that fools the copy of a teacher may fool the
            teacher, so a teacher counts as sharing weights.
        external_judges: session -> source, as in :func:`load_external_judges`; the models' own source is left out.

    Returns:
        The judges, the compact models first.
    """
    judges = [Judge(JUDGE_NAMES[model_source], [compact_models], shares_weights=True)]
    taught = set(teachers) if model_source == STUDENTS else set()
    judges += [Judge(arch, [ensemble], shares_weights=arch in taught) for arch, ensemble in ensembles.items()]
    others = {
        session: source for session, source in external_judges.items() if source["judge"] != JUDGE_NAMES[model_source]
    }
    return [*judges, *load_external_judges(others)]
