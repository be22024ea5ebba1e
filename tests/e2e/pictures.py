"""Takes the pictures, for `python -m tests.e2e.shots`; pytest does not collect it."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stage import TELEPHONE, Stage
from tests.e2e.tours import TOURS

SIZES: dict[str, dict[str, Any]] = {
    "1280": {"viewport": {"width": 1280, "height": 800}},
    "390": TELEPHONE,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.__name__)
def test_take_screenshots(stage: Stage, tour: Any, size: str) -> None:
    stage.options = SIZES[size]
    for name, page in tour(stage):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(200)  # animations have ended
            path = Path(os.environ["SHOTS"]) / f"{name}-{size}-{scheme}.png"
            page.screenshot(path=path, full_page=True, caret="initial")
        page.emulate_media(color_scheme="light")
