"""Who requests an operation, and from where."""

import ipaddress
import os
import pwd
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Actor:
    """The user or the command that requests an operation, as recorded with it.

    Role and address are stored as they are now, because the account can change later.
    Without a user the actor is the command line: anyone with shell access has full
    permissions, and ``name`` is the system user.
    """

    user: User | None
    role: str
    source: str
    address: str = ""
    name: str = ""

    @property
    def username(self) -> str:
        return self.user.get_username() if self.user else self.name


def actor_of(request: HttpRequest) -> Actor:
    """Return the signed-in user of a request as an actor."""
    assert isinstance(request.user, User)
    return Actor(request.user, role_of(request.user), "web", address_of(request))


def command_line_actor() -> Actor:
    return Actor(user=None, role="", source="cli", name=system_user())


def system_user() -> str:
    """Return the name of the account that runs this process.

    It comes from the process, because environment variables can name anyone.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def role_of(user: AnonymousUser | User) -> str:
    """Return the names of a user's roles, to be recorded with their actions."""
    if not user.is_authenticated:
        return ""
    names = sorted(user.groups.values_list("name", flat=True))
    if user.is_superuser:
        names.insert(0, "superuser")
    return ", ".join(names)[:100]


def address_of(request: HttpRequest) -> str:
    """Return the client address of a request.

    A forwarded address counts only behind a declared proxy, and only its last hop.
    """
    forwarded = (
        request.headers.get("X-Forwarded-For", "") if settings.BEHIND_PROXY else ""
    )
    last = parse_address(forwarded.rpartition(",")[2].strip())
    return (last or request.META.get("REMOTE_ADDR", ""))[:45]


def parse_address(hop: str) -> str:
    """Return the IP address without a port; an empty string for anything else."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return ""
