"""`python -m vit` is the `vit` command."""

import sys

from vit.runs.own_packages import leave_current_folder

leave_current_folder()  # before anything is imported that might lie there under another's name

from vit.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
