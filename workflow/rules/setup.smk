"""Before the configuration is read: the package on the path of this process and of every script, and plain errors."""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from snakemake.exceptions import WorkflowError

SOURCE = str(Path(workflow.basedir) / "src")
sys.path.insert(0, SOURCE)
environment = os.environ  # inherited by scripts
environment["PYTHONPATH"] = os.pathsep.join(filter(None, [SOURCE, environment.get("PYTHONPATH")]))
environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # jobs that share cores must not spin

from v4egg.configuration import check
from v4egg.errors import V4eggError


@contextmanager
def one_line_errors():
    """A user's mistake ends the run with its one line."""
    try:
        yield
    except V4eggError as error:
        raise WorkflowError(str(error)) from None
