"""Before the configuration is read: the package on the path of this process and of every script, and plain errors."""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Where a job gets nothing but Snakefiles and scripts, as on Kubernetes, the image holds the rest and names its place.
HOME = os.environ.get("V4EGG_HOME")
SOURCE = Path(HOME or Path(str(workflow.current_basedir)).parents[1]) / "src"
if SOURCE.is_dir():  # a workflow that Snakemake fetches from a repository by itself needs the installed package
    sys.path.insert(0, str(SOURCE))
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))
    os.environ.update(PYTHONPATH=path)  # which scripts inherit
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # jobs that share cores must not spin

try:
    from v4egg.errors import V4eggError
    from v4egg.workflow.configuration import check
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"there is no Python package {error.name}: install v4egg where Snakemake runs (pip install and the address of "
        "this workflow's repository), or use the workflow from a local clone"
    ) from None


@contextmanager
def one_line_errors():
    """A user's mistake ends the run with its one line."""
    try:
        yield
    except V4eggError as error:
        raise WorkflowError(str(error)) from None
