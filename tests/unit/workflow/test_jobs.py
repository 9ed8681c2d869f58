"""A job obeys its threads and leaves the process as it was."""

import sys
from types import SimpleNamespace

import pytest
import torch

from v4egg.errors import V4eggError
from v4egg.workflow.jobs import Job, job


def rule(**resources):
    return SimpleNamespace(
        rule="r", wildcards={}, log=[], threads=torch.get_num_threads() + 1, resources=SimpleNamespace(**resources)
    )


def has_subnormals() -> bool:
    return sys.float_info.min / float(len("four")) > 0


@pytest.mark.parametrize("error", [None, V4eggError("x"), ValueError("x")])
def test_a_job_leaves_threads_and_arithmetic_as_they_were(error):
    threads = torch.get_num_threads()
    try:
        with job(rule()):
            assert torch.get_num_threads() == threads + 1
            assert not has_subnormals()
            if error:
                raise error
    except SystemExit as stop:
        assert error and stop.code == 1
    assert torch.get_num_threads() == threads
    assert has_subnormals()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_torch_does_not_see_is_one_line(capsys):
    with pytest.raises(SystemExit), job(rule(gpu=1)):
        pass
    assert "resources gpu=0" in capsys.readouterr().err


def test_params_name_the_local_copies_of_inputs():
    stored = ".snakemake/storage/s3/bucket/runs/results/x/encoders/m0.zarr"
    run = Job("r", "cpu", [stored])
    assert run.local({"a": ["results/x/encoders/m0.zarr"]}) == {"a": [stored]}
    assert run.local(["results/x/else.zarr", None, 3]) == ["results/x/else.zarr", None, 3]
    assert Job("r", "cpu", ["results/x.zarr"]).local("results/x.zarr") == "results/x.zarr"
