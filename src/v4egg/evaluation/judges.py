"""Who scores an image. A judge that took no part in making an image is marked so, everywhere.

Every judge wraps models with ``forward(images, units) -> (B, U)`` and ``paired(images, units) -> (B,)`` and knows which
of their outputs belongs to which unit id.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from v4egg.compact.network import CompactModels
from v4egg.compact.sources import NAMES, STUDENTS
from v4egg.encoders.ensemble import Ensemble


def _simulated_brain(path: str, session: str) -> nn.Module:
    from v4egg.simulation.brain import load_brain

    return load_brain(path)


def _published_compact(path: str, session: str) -> nn.Module:
    from v4egg.compact.published import load_published_models

    return load_published_models(path, session)


EXTERNAL_JUDGES: dict[str, Callable[[str, str], nn.Module]] = {
    "simulated_brain": _simulated_brain,
    "published_compact": _published_compact,
}


@dataclass
class Judge:
    """One scorer of images.

    Attributes:
        name: generators, validators, across, simulated_brain or published_compact.
        models: models that together hold all units; each has ``units``, ``forward`` and ``paired``.
        shares_weights: whether its networks, or a frozen part of them, made the images, as generators or as the prior.
    """

    name: str
    models: Sequence[nn.Module]
    shares_weights: bool

    @torch.no_grad()
    def __call__(self, images: Tensor, units: Sequence[str], batch: int = 64) -> Tensor:
        """The response (B,) of one unit to each image; images (B, C, y, x) in [0, 1], unit ids (B,)."""
        result = torch.full((len(images),), float("nan"))
        for model in self.models:
            index = _index(model)
            rows = [i for i, unit in enumerate(units) if unit in index]
            for start in range(0, len(rows), batch):
                part = rows[start : start + batch]
                targets = torch.tensor([index[units[i]] for i in part])
                result[part] = model.paired(images[part], targets).float()
        return result

    @torch.no_grad()
    def responses(self, images: Tensor, units: Sequence[str], batch: int = 128) -> Tensor:
        """Responses (n, U) of the ``units`` to all images (n, C, y, x); NaN for units that the judge does not know."""
        result = torch.full((len(images), len(units)), float("nan"))
        for model in self.models:
            index = _index(model)
            columns = [i for i, unit in enumerate(units) if unit in index]
            if not columns:
                continue
            targets = torch.tensor([index[units[i]] for i in columns])
            for start in range(0, len(images), batch):
                rows = slice(start, start + batch)
                result[rows, columns] = model(images[rows], targets).float()
        return result


def encoder_judges(ensembles: dict[str, Ensemble], arch: str) -> list[Judge]:
    """The judges that are encoders, for images made by the generators of ``arch``, which may be a combined one.

    ``across`` is the whole ensemble of the architectures that are not in ``arch``; there may be none. A judge with a
    frozen network that the generators have too took part: an image that fools that network fools both. So did one that
    reads the workflow's denoiser, which is the prior of energy guided images.
    """
    generators, validators = ensembles[arch].generators(), ensembles[arch].validators()
    judges = [
        Judge("generators", [generators], shares_weights=True),
        Judge("validators", [validators], shares_weights=_shares_weights(generators, validators)),
    ]
    own = {_family(member) for member in ensembles[arch].members}
    every = {(m.arch, m.member): m for ensemble in ensembles.values() for m in ensemble.members}
    others = [member for member in every.values() if _family(member) not in own]
    if others:
        across = Ensemble(others)
        judges.append(Judge("across", [across], shares_weights=_shares_weights(generators, across)))
    return judges


def _family(member: nn.Module) -> str:
    """The architecture that a member was trained as: a refit of it has its attention, and is no other."""
    return getattr(member, "family", member.arch)


def _shares_weights(generators: Ensemble, judge: Ensemble) -> bool:
    return generators.shares_network(judge) or "denoiser" in judge.frozen_networks()


def _index(model: nn.Module) -> dict[str, int]:
    return {unit: i for i, unit in enumerate(model.units)}


def load_external_judges(sources: Mapping[str, Mapping[str, str]]) -> list[Judge]:
    """Judges that no workflow of ours trained: the simulated brain, the published compact models.

    Args:
        sources: session -> ``judge`` (a name of :data:`EXTERNAL_JUDGES`) and ``path`` (its store or folder).
    """
    models: dict[str, list[nn.Module]] = {}
    for session, source in sources.items():
        models.setdefault(source["judge"], []).append(EXTERNAL_JUDGES[source["judge"]](source["path"], session))
    return [Judge(name, found, shares_weights=False) for name, found in models.items()]


def compact_judges(
    models: str,
    own: CompactModels,
    ensembles: Mapping[str, Ensemble],
    teachers: Sequence[str],
    external_judges: Mapping[str, Mapping[str, str]],
) -> list[Judge]:
    """Who scores images that compact models made: they themselves first, each architecture, and those from outside.

    Args:
        ensembles: architecture -> all of its members.
        teachers: architectures that the students learned from: an image that fools a copy of a teacher may fool the
            teacher, so it counts as having taken part.
        external_judges: session -> source, as :func:`load_external_judges` takes them; the models themselves are left
            out.
    """
    judges = [Judge(NAMES[models], [own], shares_weights=True)]
    taught = set(teachers) if models == STUDENTS else set()
    judges += [Judge(arch, [ensemble], shares_weights=arch in taught) for arch, ensemble in ensembles.items()]
    others = {session: source for session, source in external_judges.items() if source["judge"] != NAMES[models]}
    return [*judges, *load_external_judges(others)]
