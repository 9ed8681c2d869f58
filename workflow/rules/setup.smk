"""Before the configuration is read: the package on the path of this process and of every script, and plain errors."""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from snakemake.exceptions import WorkflowError

# this repository, also where another workflow uses it as a module; V4EGG_HOME where only its Snakefiles were sent to
HOME = Path(os.environ.get("V4EGG_HOME") or Path(str(workflow.current_basedir)).parents[1])
SOURCE = str(HOME / "src")
sys.path.insert(0, SOURCE)
environment = os.environ  # inherited by scripts
environment["PYTHONPATH"] = os.pathsep.join(filter(None, [SOURCE, environment.get("PYTHONPATH")]))
environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # jobs that share cores must not spin

from v4egg.workflow.configuration import check
from v4egg.errors import V4eggError


@contextmanager
def one_line_errors():
    """A user's mistake ends the run with its one line."""
    try:
        yield
    except V4eggError as error:
        raise WorkflowError(str(error)) from None
