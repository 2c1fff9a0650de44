"""`python -m vit` is the `vit` command."""

import sys

from vit.doors.main import main

if __name__ == "__main__":
    sys.exit(main())
