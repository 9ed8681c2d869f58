"""The whole DAG, tiny: it runs, has then nothing to do, gives the same from another folder, and reruns what changed."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

from tiny_workflow import ROOT, TINY, command, environment, snakemake
from v4egg import load_encoder, load_prior, load_recording, load_responses
from v4egg.figures import FIGURES
from v4egg.io import stores

SERIES = ("meni", "diverse", "reconstruction", "adversarial")  # stages that name architectures
pytestmark = pytest.mark.timeout(1500)  # the first test waits for the whole DAG, also on a busy machine


def test_it_makes_figures_numbers_and_summary(finished):
    results = finished / "results/tiny"
    for figure in FIGURES:
        for kind in ("svg", "png", "csv"):
            assert (results / f"figures/{figure}.{kind}").stat().st_size > 100
    assert (results / "figures/recording-sim01.png").stat().st_size > 1000
    units = pd.read_csv(results / "units.csv", keep_default_na=False)
    assert units["selected"].eq(units["left_out_because"] == "").all()
    summary = json.loads((results / "summary.json").read_text())
    assert summary["encoders"]["attention"]["sim01"]["n_units"] >= 3
    assert summary["mei"]["energy_guided"]["gaussian"]["n_images"] == 6
    assert summary["mei"]["evolution"]["attention"]["n_images"] == 6
    judges = summary["mei"]["gradient_ascent"]["attention"]["judges"]
    assert {"generators", "validators", "across", "simulated_brain"} <= set(judges)
    assert judges["generators"]["shares_weights"]
    assert not judges["simulated_brain"]["shares_weights"]
    assert summary["seconds"]["encoders"] > 0
    assert {row["statistic"] for row in summary["stages"]["evolution"]} >= {"median", "share_above_1"}
    assert "min_correlation: -1" in (results / "config.yaml").read_text()


def test_the_public_face_reads_its_stores(finished):
    results = finished / "results/tiny"
    recording = load_recording(results / "recordings/sim01.zarr")
    responses = load_responses(results / "responses/sim01.zarr")
    ensemble = load_encoder(sorted((results / "encoders/attention").glob("m*.zarr")))
    prior = load_prior(results / "prior.zarr")
    assert len(recording.images) == len(responses.split) == 72
    assert (responses.split == "test").sum() == 12
    assert len(ensemble.members) == 2
    assert prior.shape == (3, 16, 16)


def test_the_pool_holds_no_test_image(finished):
    results = finished / "results/tiny"
    pool = stores.load(results / "pool.zarr", "pool")
    splits = stores.load(results / "splits.zarr", "splits")
    fit = np.isin(splits["split"].values.astype(str), ("train", "validation")).sum()
    assert pool.sizes["image"] == fit + 20


def test_images_are_what_can_be_shown_and_keyed_by_unit_and_seed(finished):
    meis = stores.load(finished / "results/tiny/mei/energy_guided/attention.zarr", "mei")
    images = meis["image"].values
    assert images.shape == (3, 2, 3, 16, 16)
    assert images.min() >= 0
    assert images.max() <= 1
    assert not np.allclose(images[:, 0], images[:, 1])


def test_stages_that_are_switched_on_make_their_images(finished):
    results = finished / "results/tiny"
    natural = stores.load(results / "natural/gaussian.zarr", "natural")
    pool = stores.load(results / "pool.zarr", "pool")
    assert natural.attrs["images"] == pool.sizes["image"]
    found = int(natural["position"][0, 0])
    assert np.allclose(natural["image"][0, 0], pool["images"][found] / 255, atol=1e-6)
    meni = stores.load(results / "meni/mixed.zarr", "series")
    assert dict(meni.sizes) == {"unit": 2, "setting": 2, "sample": 1, "channel": 3, "y": 16, "x": 16}
    judged = stores.load(results / "judged/meni.zarr", "judged")
    assert judged["arch"].values.tolist() == ["attention", "mixed"]
    assert judged["activation"].sel(arch="attention", judge="simulated_brain").notnull().all()
    diverse = stores.load(results / "diverse/attention.zarr", "series")
    assert diverse.sizes["sample"] == 2
    made = stores.load(results / "reconstruction/attention.zarr", "reconstruction")
    assert made.sizes["image"] == 2
    scores = stores.load(results / "judged/reconstruction.zarr", "reconstruction_scores")
    assert {"generators", "validators", "across", "simulated_brain"} == set(scores["judge"].values)
    assert stores.load(results / "samples.zarr", "samples").sizes["crop"] == 4
    compact = stores.load(results / "compact/sim01.zarr", "compact")
    assert compact.sizes["unit"] == 5
    assert np.isfinite(compact["correlation_to_average"]).all()
    assert (compact["filters"].sel(stage="retrained") <= compact["filters"].sel(stage="distilled")).all()


def test_compact_models_are_opened(finished):
    results = finished / "results/tiny"
    tuning = stores.load(results / "tuning/students-sim01.zarr", "tuning")
    circuits = stores.load(results / "circuits/students-sim01.zarr", "circuits")
    dots = stores.load(results / "dot_detector/students.zarr", "dot_detector")
    assert list(tuning["unit"].values) == list(circuits["unit"].values) == list(dots["unit"].values)
    assert dots.attrs["unit"] in dots["unit"].values
    images = stores.load(results / "adversarial/students-sim01.zarr", "adversarial")
    assert images["judge"].values.tolist() == ["students", "attention", "simulated_brain"]
    assert images["shares_weights"].values.tolist() == [True, True, False]  # the teacher, and not the brain
    assert (images["rms"] <= images["epsilon"] * (1 + 1e-5)).all()
    transfer = stores.load(results / "transfer_maximizing/students-sim01.zarr", "transfer")
    assert transfer["activation"].sel({"method": "maximizing"}).sel(judge="simulated_brain").notnull().all()


def test_evolution_tells_what_it_showed(finished):
    found = {name: stores.load(finished / f"results/tiny/evolution/{name}.zarr") for name in ("genetic", "hidden")}
    assert found["genetic"].sizes["neuron"] == 5  # all that the brain of the target session knows
    assert (found["genetic"]["presentations"][:, -1] == 60).all()
    assert (found["genetic"]["best"] >= found["genetic"]["mean"]).all()
    assert not np.allclose(found["genetic"]["mean"], found["genetic"]["noiseless"])  # spikes
    assert len(set(found["hidden"]["group"].values)) > 1
    swept = stores.load(finished / "results/tiny/evolution/genetic-mutation_rate-0.25.zarr", "evolution")
    assert json.loads(swept.attrs["settings"])["mutation_rate"] == 0.25
    assert json.loads(found["genetic"].attrs["settings"])["mutation_rate"] == 0.5
    meis = stores.load(finished / "results/tiny/mei/evolution/attention.zarr", "mei")
    assert meis.sizes["step"] == 2
    assert (meis["evaluations"] == 40).all()


def test_every_intermediate_is_a_complete_store(finished):
    found = sorted((finished / "results/tiny").rglob("*.zarr"))
    assert len(found) > 20
    for path in found:
        assert stores.load(path).attrs["digest"]


def test_a_second_run_has_nothing_to_do(finished):
    run = snakemake(finished)
    assert run.returncode == 0
    assert "Nothing to be done" in run.stderr + run.stdout


def would_run(folder: Path, overlay: str, *arguments: str) -> set[str]:
    """The rules that a dry run would run with that overlay."""
    (folder / "overlay.yaml").write_text(overlay)
    run = snakemake(folder, "--dry-run", *arguments, "--configfile", TINY, folder / "overlay.yaml")
    assert run.returncode == 0, run.stderr[-2000:]
    return {
        line.split()[-1].rstrip(":") for line in run.stdout.splitlines() if line.startswith(("rule ", "localrule "))
    }


def test_a_changed_setting_reruns_what_it_touches(finished):
    rules = would_run(finished, "gallery: {units: 2}\n")
    assert rules == {"figure_mei_gallery", "write_configuration", "all"}


def test_stages_that_are_switched_off_make_nothing(finished):
    off = "natural: {k: 0}\nmeni: {energy_scales: []}\ndiverse: {weights: []}\n"
    off += "reconstruction: {images: 0}\nsamples: {n: 0}\ncompact: {teacher: ''}\n"
    off += "circuits: {models: []}\nadversarial: {models: []}\n"
    rules = would_run(finished, off, "--forceall")
    assert {"synthesize", "transfer"} <= rules
    stages = {"search_natural_images", "synthesize_series", "judge_series", "reconstruct", "sample_prior"}
    stages |= {"teach", "distil", "distil_shared", "gather_compact", "tune_compact_models", "adversarial_images"}
    assert not rules & stages
    figures = ("meni", "diverse", "reconstruction", "samples", "compact", "circuits", "tuning", "adversarial")
    assert not rules & {f"figure_{name}" for name in figures}


def test_numbers_that_change_places_are_noticed(finished):
    """Snakemake compares a rule's params as a set of values without names: 2, 3, 3 would equal 2, 2, 3."""
    assert "synthesize" in would_run(finished, "synthesis: {units_per_job: 2}\n")


def test_one_unit_more_runs_one_batch_more(finished):
    (finished / "overlay.yaml").write_text("targets: {units: 4}\n")
    run = snakemake(finished, "--dry-run", "--configfile", TINY, finished / "overlay.yaml")
    batches = re.findall(r"wildcards: method=\w+, arch=\w+, batch=(\d+)", run.stdout)
    assert len(batches) == 9  # three methods, three architectures
    assert set(batches) == {"1"}
    assert "rule rank_units" not in run.stdout


def test_changed_package_code_reruns_what_it_touches(finished, tmp_path):
    copy = tmp_path / "copy"
    for part in ("Snakefile", "workflow", "src", "config", "profiles", "envs"):
        source = ROOT / part
        copy.mkdir(exist_ok=True)
        shutil.copytree(source, copy / part) if source.is_dir() else shutil.copy(source, copy / part)
    changed = copy / "src/v4egg/synthesis/energy_guided.py"
    changed.write_text(changed.read_text() + "\nCHANGED = True\n")
    run = snakemake(finished, "--dry-run", "--rerun-triggers", "params", root=copy)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "synthesize" in run.stdout
    assert "train_encoder" not in run.stdout
    assert "train_prior" not in run.stdout
    comment = copy / "src/v4egg/synthesis/gradient_ascent.py"
    changed.write_text((ROOT / "src/v4egg/synthesis/energy_guided.py").read_text())
    comment.write_text(comment.read_text() + "\n# a remark\n")
    run = snakemake(finished, "--dry-run", "--rerun-triggers", "params", root=copy)
    assert "Nothing to be done" in run.stdout + run.stderr


def test_a_core_for_each_group_of_sessions_and_its_refit(finished):
    core = {"core": {"name": "residual", "channels": 8, "blocks": 1}, "readout": {"name": "attention", "dim": 8}}
    grouped = {**core, "core_groups": {"one": ["sim02"]}, "training": {"loss": "mse"}}
    encoders = {"use_architectures": ["grouped", "again"], "architectures": {"grouped": grouped}}
    encoders["architectures"]["again"] = {"refit": "grouped"}
    nothing = {"meni": {"energy_scales": []}, "diverse": {"weights": []}, "reconstruction": {"images": 0}}
    nothing |= {"compact": {"teacher": ""}, "circuits": {"models": []}, "adversarial": {"models": []}}
    nothing |= {stage: {**options, "architectures": []} for stage, options in nothing.items() if stage in SERIES}
    nothing |= {"evolution": {"conditions": {"hidden": {"arch": "grouped"}}}, "closed_loop": {"rounds": 0}}
    overlay = finished / "refit.yaml"
    overlay.write_text(yaml.safe_dump({"encoders": encoders, **nothing}))
    target = finished / "results/tiny/encoders/again/m0.zarr"
    run = snakemake(finished, str(overlay), "--", str(target.relative_to(finished)))
    assert run.returncode == 0, run.stderr[-2000:]
    (member,) = load_encoder(target).members
    assert (member.arch, member.trained_as) == ("again", "grouped")
    assert [{unit.split("-")[0] for unit in part.units} for part in member.parts] == [{"sim01"}, {"sim02"}]
    assert member.spec["readout"]["name"] == "refitted_attention"


def test_report_is_made_offline(finished):
    run = snakemake(finished, "--report", "report.zip")
    assert run.returncode == 0, run.stderr[-2000:]
    assert (finished / "report.zip").stat().st_size > 10_000


@contextmanager
def running_training(folder: Path, *arguments: str):
    """A run that is in the middle of a training: Snakemake, and the training's state as it was saved first."""
    state = {path: path.stat().st_mtime_ns for path in folder.rglob("state.pt")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    words = command(folder, *arguments)
    run = subprocess.Popen(words, cwd=folder, env=environment(), start_new_session=True, **quiet)
    try:
        deadline = time.monotonic() + 300
        while {path: path.stat().st_mtime_ns for path in folder.rglob("state.pt")} == state:
            assert time.monotonic() < deadline
            assert run.poll() is None
            time.sleep(0.01)
        yield run
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def test_killed_jobs_and_a_killed_snakemake_change_no_result(finished, tmp_path):
    folder, member = tmp_path / "copy", "results/tiny/encoders/attention/m0.zarr"
    shutil.copytree(finished, folder)
    (folder / "longer.yaml").write_text("encoders: {training: {epochs: 60}}\n")
    arguments = ["--configfile", TINY, folder / "longer.yaml", "--cores", "2", member]
    assert snakemake(folder, *arguments).returncode == 0
    uninterrupted = stores.load(folder / member).attrs["digest"]
    shutil.rmtree(folder / member)

    with running_training(folder, *arguments) as run:
        (job,) = [p for p in psutil.Process(run.pid).children(recursive=True) if "train_encoder.py" in p.cmdline()[-1]]
        job.kill()
        assert run.wait() == 1
    assert not (folder / member).exists()
    with running_training(folder, *arguments):
        pass  # and all of it is killed
    assert not (folder / member).exists()

    locked = snakemake(folder, *arguments)
    assert locked.returncode == 1
    assert "--unlock" in locked.stderr  # the one step that the error asks for
    assert snakemake(folder, *arguments, "--unlock").returncode == 0
    assert snakemake(folder, *arguments).returncode == 0
    assert stores.load(folder / member).attrs["digest"] == uninterrupted
    assert not list(folder.rglob("state.pt"))
