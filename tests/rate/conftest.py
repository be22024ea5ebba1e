from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_django import Settings

from iotda_admin.rate import own_connection


@pytest.fixture
def paced(transactional_db: None, settings: Settings) -> Iterator[Callable[..., Any]]:
    """Return a function that sets the rate.

    The own_connection has its own connection and sees only committed rows.
    """

    def pace(rate: Any, burst: int = 1) -> None:
        settings.IOTDA_RATE, settings.IOTDA_BURST = rate, burst

    yield pace
    own_connection.close_connection()
