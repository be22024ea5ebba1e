import pytest

from iotda_admin.rate import store


@pytest.fixture
def paced(transactional_db, settings):
    """Sets the rate. The limits' connection is another one than the test's: it sees what is committed."""

    def pace(rate, burst=1):
        settings.IOTDA_RATE, settings.IOTDA_BURST = rate, burst

    yield pace
    store.close_connection()
