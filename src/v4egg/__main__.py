"""``python -m v4egg`` is ``v4egg``."""

import sys

from v4egg.workflow.command_line import main

if __name__ == "__main__":
    sys.exit(main())
