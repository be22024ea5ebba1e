import os
from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.models import User

from iotda_admin.accounts.password_rules import require_good_password


class Command(createsuperuser.Command):
    """Validate the password of DJANGO_SUPERUSER_PASSWORD, which Django does not.

    On a terminal Django itself validates the password, and asks before it skips that.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        variable = "DJANGO_SUPERUSER_PASSWORD"
        if not options["interactive"] and variable in os.environ:
            name = options["username"] or os.environ.get("DJANGO_SUPERUSER_USERNAME")
            user = User(username=name or "", email=options["email"] or "")
            require_good_password(variable, user)
        super().handle(*args, **options)
