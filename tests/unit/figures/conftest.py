"""Figures in tests are coarse, and each has arguments from small stores."""

import pytest

from circuit_stores import save_adversarial, save_circuits, save_dot_detector, save_maximizing, save_tuning
from figure_stores import (
    meni_arguments,
    save_closed_loop,
    save_compact,
    save_evolutions,
    save_judged,
    save_meis,
    save_reconstruction,
    save_reconstruction_scores,
    save_samples,
    save_scores,
    save_series,
    save_settings,
    save_transfer,
)
from v4egg.figures import style


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(style, "DPI", 40)


@pytest.fixture
def arguments(stored):
    """Figure -> the arguments that it is drawn with."""
    return dict(stored)


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("stores")
    transfer, meis = save_transfer(tmp_path / "transfer.zarr"), save_meis(tmp_path)
    return {
        "encoder_scores": (save_scores(tmp_path / "scores.zarr", {"one": 5, "off": 2}),),
        "mei_gallery": (transfer, meis),
        "transfer_scatter": (transfer,),
        "compute_time": (meis, transfer),
        "meni": meni_arguments(tmp_path / "meni"),
        "diverse": (
            [save_series(tmp_path / "diverse.zarr", "diverse", "attention")],
            save_judged(tmp_path / "judged.zarr", archs=("attention",)),
        ),
        "reconstruction": (
            [save_reconstruction(tmp_path / "made.zarr")],
            save_reconstruction_scores(tmp_path / "reconstruction.zarr"),
        ),
        "evolution": (save_evolutions(tmp_path),),
        "sensitivity": (save_settings(tmp_path),),
        "compact": ([save_compact(tmp_path / "compact.zarr")], tmp_path / "scores.zarr"),
        "closed_loop": ([save_closed_loop(tmp_path / "loop.zarr")],),
        "circuits": ([save_circuits(tmp_path / "circuits.zarr")],),
        "tuning": ([save_tuning(tmp_path / "tuning.zarr")],),
        "dot_detector": ([save_dot_detector(tmp_path / "dot_detector.zarr")],),
        "adversarial": (
            [save_adversarial(tmp_path / "adversarial.zarr")],
            [save_maximizing(tmp_path / "maximizing.zarr")],
        ),
        "samples": (save_samples(tmp_path / "samples.zarr"),),
    }
