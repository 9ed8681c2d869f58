"""Run a workflow script as Snakemake does, without Snakemake: through the object that it would get."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import Namedlist

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"


def named(values) -> Namedlist:
    return Namedlist(fromdict=values) if isinstance(values, dict) else Namedlist(toclone=values)


@pytest.fixture
def run_script(tmp_path):
    """``run_script(name, input=..., output=..., params=..., wildcards=...)``; the log is ``tmp_path/log``."""

    def run(name, *, input=(), output=(), params=None, wildcards=None, gpu=0):
        job = SimpleNamespace(
            input=named(input),
            output=named(output),
            params=named(params or {}),
            wildcards=named(wildcards or {}),
            log=named([str(tmp_path / "log")]),
            threads=1,
            resources=SimpleNamespace(gpu=gpu),
            rule=name,
        )
        runpy.run_path(str(SCRIPTS / f"{name}.py"), init_globals={"snakemake": job})

    return run
