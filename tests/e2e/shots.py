"""Pictures of every page in its states, wide and narrow, light and dark.

python -m tests.e2e.shots OUTDIR [TOUR]
"""

import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    os.environ["SHOTS"] = str(Path(sys.argv[1]).absolute())
    sys.exit(pytest.main(["-q", "tests/e2e/pictures.py", "-k", " ".join(sys.argv[2:])]))
