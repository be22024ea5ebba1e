"""Run known bad solutions on the product's tables with its client."""

import json
import subprocess
import sys
from collections.abc import Sequence

from tests.bench.stage import Stage
from tests.cloud import ROOT


def naive(
    stage: Stage, way: str, ids: Sequence[str], conc: int, **simulated: float
) -> float:
    """Return the seconds that a function of naive.py takes."""
    stage.reset(**simulated)
    policy = stage.cloud.known_ids["policy"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.naive", way, policy, str(conc)],
        cwd=ROOT,
        env=stage.copy().env,
        input=json.dumps(ids),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return float(done.stdout)
