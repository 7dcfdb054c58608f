"""``python -m xinsitu``."""

import sys

from xinsitu.cli import main

if __name__ == "__main__":
    sys.exit(main())
