"""Who is asking, for the door."""

from django.contrib.auth.models import User
from django.http import HttpRequest

from iotda_admin import audit
from iotda_admin.operations.door import Asker


def asker_of(request: HttpRequest) -> Asker:
    assert isinstance(request.user, User)
    return Asker(request.user, audit.role_of(request.user), "web", audit.address_of(request))
