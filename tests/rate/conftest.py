import pytest

from iotda_admin.rate import store


@pytest.fixture
def paced(transactional_db, settings):
    """Return a function that sets the rate.

    The store has its own connection and sees only committed rows.
    """

    def pace(rate, burst=1):
        settings.IOTDA_RATE, settings.IOTDA_BURST = rate, burst

    yield pace
    store.close_connection()
