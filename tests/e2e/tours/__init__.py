"""Every page in its important states, for axe and `python -m tests.e2e.shots`.

A tour is a function of these modules that takes a stage only and yields views.
"""

from collections.abc import Callable
from inspect import get_annotations

from tests.e2e.stage import Stage
from tests.e2e.tours import accounts, devices, failures, operations, policies, site
from tests.e2e.tours.common import Views

TOURS: list[Callable[[Stage], Views]] = [
    each
    for module in (accounts, devices, policies, operations, failures, site)
    for each in vars(module).values()
    if callable(each) and get_annotations(each) == {"stage": Stage, "return": Views}
]
