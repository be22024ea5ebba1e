"""Who is asking, and where they may: for the door and for what the pages show."""

from django.contrib.auth.models import User
from django.http import HttpRequest

from iotda_admin import audit
from iotda_admin.accounts.scope import Somebody, cap_of, sees, spaces_of, within
from iotda_admin.operations.door import Asker

__all__ = ["Somebody", "asker_of", "cap_of", "sees", "spaces_of", "within"]


def asker_of(request: HttpRequest) -> Asker:
    assert isinstance(request.user, User)
    return Asker(request.user, audit.role_of(request.user), "web", audit.address_of(request))
