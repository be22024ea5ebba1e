#!/usr/bin/env python
"""Django's command line for IoTDA Admin."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from iotda_admin.operations.cli.utility import execute_from_command_line

DATABASE_FAILED = (
    "The database did not answer in time: it is down, or another process writes to it. "
    "Run the command again. The database says:"
)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotda_admin.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"IoTDA Admin cannot start: {error}\n")
        # Not 1: a command that was refused has done nothing, not a part.
        sys.exit(2)
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        sys.stderr.write(f"{DATABASE_FAILED} {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
