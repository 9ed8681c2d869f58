"""The paper's own scale is planned in seconds, without its recordings."""

import importlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def test_the_paper_is_planned_whole_within_its_goals(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark = importlib.import_module("dag_time")
    held = np.ones(150_000_000)  # 1.2 GB: what this process holds is not the dry run's
    run = benchmark.dry_run(1244)
    del held
    assert run.jobs["read_recording"] == 100
    assert run.jobs["train_encoder"] == 20
    assert run.jobs["synthesize"] == 2 * 2 * 78  # two methods, two architectures, 16 of 1,244 units a job
    assert run.processor < 15
    assert run.megabytes < 1000
