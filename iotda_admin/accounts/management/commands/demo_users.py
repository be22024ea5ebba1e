import os
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from iotda_admin.access.models import EVERY_SPACE, Grant
from iotda_admin.access.roles import ROLES
from iotda_admin.accounts.password_rules import require_good_password


class Command(BaseCommand):
    help = "Creates one user for each role, with the password in DEMO_PASSWORD. For the demo only."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get("DEMO_PASSWORD")
        if not password:
            raise CommandError("DEMO_PASSWORD is not set.")
        for role in ROLES:
            login = role.replace(" ", "")
            require_good_password("DEMO_PASSWORD", User(username=login))
            user, _made = User.objects.get_or_create(username=login)
            user.is_staff = user.is_superuser = login == "admin"
            user.set_password(password)
            user.save()
            user.groups.set([Group.objects.get(name=role)])
            Grant.objects.get_or_create(user=user, app_id=EVERY_SPACE)
