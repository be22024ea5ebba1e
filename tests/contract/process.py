"""Starts the simulator of the tests, and reads the differences that it reports."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile

ROOT = Path(__file__).resolve().parents[2]
ABOUT_VALUES = re.compile("must match pattern|must be shorter than")
CHECKED, BARE = "tests.contract.simulator", "iotda_admin.simulator"


class SimulatorProcess:
    """A simulator on ports of its own. BARE is what the product ships."""

    def __init__(self, module: str = CHECKED, **environ: str) -> None:
        self._errors = TemporaryFile()  # noqa: SIM115 - closed by close()
        self._read = 0
        # For tests that put values into the simulated platform that IoTDA has not.
        self.holds_impossible_values = False
        ports = {"SIMULATOR_PORT": "0", "SIMULATOR_CONTROL_PORT": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=os.environ | ports | environ,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self._process.stdout
        addresses = json.loads(self._process.stdout.readline())
        self.api: str = addresses["api"]
        self.control: str = addresses["control"]

    def require_no_errors(self) -> None:
        """Fail if anything was reported since the last call."""
        start, self._read = self._read, os.fstat(self._errors.fileno()).st_size
        size, impossible = self._read - start, self.holds_impossible_values
        self.holds_impossible_values = False
        if not size:
            return
        lines = os.pread(self._errors.fileno(), size, start).decode().splitlines()
        left = [one for one in lines if not (impossible and ABOUT_VALUES.search(one))]
        text = "\n".join(left)
        assert not text, f"the simulator and the vendor's description differ:\n{text}"

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10)
        try:
            self.require_no_errors()
        finally:
            self._errors.close()
