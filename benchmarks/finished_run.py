"""What ablations of synthesis ask of a finished run: its members, natural images and what the members say of these."""

from collections.abc import Mapping
from pathlib import Path

from v4egg import load_encoder, load_recording
from v4egg.encoders.ensemble import Ensemble
from v4egg.evaluation.transfer import NaturalImages
from v4egg.io import stores
from v4egg.recordings.units import by_session


class FinishedRun:
    """The stores of a run.

    Attributes:
        results: their folder, with encoders, predictions, recordings, prior.zarr and targets.zarr.
        units: ids of the first target units.
        ensembles: by architecture, or mixture of some, all their members.
        natural: the natural images of each session of these units.
        predictions: the store of each of these sessions.
    """

    def __init__(self, results: Path, architectures: Mapping[str, Mapping], units: int):
        self.results = results
        self.units = [str(unit) for unit in stores.load(results / "targets.zarr", "targets")["unit"].values[:units]]
        self.ensembles = {name: self._ensemble(parts.get("combined", [name])) for name, parts in architectures.items()}
        groups = by_session(self.units)
        self.natural = [self._natural(session, units) for session, units in groups.items()]
        lazy = [stores.load(results / f"predictions/{session}.zarr", "predictions") for session in groups]
        self.predictions = [predictions.load() for predictions in lazy]  # each setting reads them

    def _ensemble(self, archs: list[str]) -> Ensemble:
        return load_encoder([path for a in archs for path in sorted((self.results / "encoders" / a).glob("m*.zarr"))])

    def _natural(self, session: str, units: list[str]) -> NaturalImages:
        recording = load_recording(self.results / f"recordings/{session}.zarr")
        return NaturalImages(recording.images, recording.image_ids, units)
