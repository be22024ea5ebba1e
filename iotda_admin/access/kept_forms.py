"""Forms that arrive without a valid session: kept, and filled in after signing in.

A form names the user to whom it was shown, signed. It is kept for that user alone, for
an hour. Filled in again, it has no idempotency key and no "save" under their own names,
and no view sends anything without one of them.
"""

import json
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from io import BytesIO
from typing import Any

from django.contrib.auth.models import User
from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from iotda_admin.access.models import KeptForm

LIFETIME = timedelta(hours=1)
# Compressed. 100,000 random IDs of 64 characters take a third of it.
BYTES_LIMIT = 16_000_000
FORMS_PER_USER = 3
# The field with the signed user, and how old a form may be.
OWNER_FIELD = "shown_to"
OWNER_MAX_AGE = timedelta(days=7)
# The parameter of a URL that fills its form in, and the field with the former key.
PARAMETER = "kept"
KEPT_KEY = "kept_key"

signer = TimestampSigner(salt="iotda_admin.access.kept_forms")


def keeps_form[**P, R: HttpResponseBase](view: Callable[P, R]) -> Callable[P, R]:
    """Decorate a view whose form is kept; a GET with the parameter fills it in again."""

    @wraps(view)
    def with_kept_form(*args: P.args, **kwargs: P.kwargs) -> R:
        request = args[0]
        assert isinstance(request, HttpRequest)
        if request.method != "GET" or PARAMETER not in request.GET:
            return view(*args, **kwargs)
        if kept := find_kept_form(request):
            fill_in(request, kept)
        else:
            request.form_notice = _(  # type: ignore[attr-defined]
                "Nothing was sent, and the form is no longer kept. Fill it in again."
            )
        try:
            return view(*args, **kwargs)
        finally:
            request.method = "GET"

    with_kept_form.keeps_form = True  # type: ignore[attr-defined]
    return with_kept_form


def sign_owner(user: Any) -> str:
    return signer.sign(str(user.pk))


def owner_of_form(request: HttpRequest) -> User | None:
    """Return the user to whom the form of a POST was shown."""
    try:
        key = signer.unsign(request.POST.get(OWNER_FIELD, ""), max_age=OWNER_MAX_AGE)
    except BadSignature:
        return None
    return User.objects.filter(pk=key, is_active=True).first()


def keep_form(
    request: HttpRequest, view: Callable[..., Any], why: KeptForm.Reason
) -> str:
    """Keep the form of a POST for its owner. Return the URL that fills it in again.

    Return an empty string if it cannot be kept, or if another user is signed in.
    """
    owner = owner_of_form(request) if getattr(view, "keeps_form", False) else None
    if owner is None or (request.user.is_authenticated and request.user != owner):
        return ""
    content = pack(request)
    if len(content) > BYTES_LIMIT:
        return ""
    kept = KeptForm.objects.create(
        user=owner, path=request.path, why=why, content=content
    )
    newest = KeptForm.objects.filter(user=owner).order_by("-created_at")
    keys = list(newest.values_list("pk", flat=True)[:FORMS_PER_USER])
    KeptForm.objects.filter(user=owner).exclude(pk__in=keys).delete()
    return f"{request.path}?{PARAMETER}={kept.pk}"


def pack(request: HttpRequest) -> bytes:
    fields = request.POST.copy()
    for name in (OWNER_FIELD, "csrfmiddlewaretoken"):
        fields.pop(name, None)
    files = [
        (name, file.name, file.content_type, b64encode(file.read()).decode())
        for name, file in request.FILES.items()
        if isinstance(file, UploadedFile)
    ]
    text = json.dumps({"fields": fields.urlencode(), "files": files})
    return zlib.compress(text.encode(), level=1)


def find_kept_form(request: HttpRequest) -> KeptForm | None:
    key = request.GET[PARAMETER]
    if not re.fullmatch(r"[0-9a-f]{32}", key):
        return None
    return KeptForm.objects.filter(
        pk=key,
        user=request.user.pk,
        path=request.path,
        created_at__gt=timezone.now() - LIFETIME,
    ).first()


def fill_in(request: HttpRequest, kept: KeptForm) -> None:
    """Give the request the fields and files of the form, but nothing that confirms it.

    Nor what downloads a list: the file would come instead of the page.
    """
    content = json.loads(zlib.decompress(kept.content))
    fields = QueryDict(content["fields"], mutable=True)
    fields[KEPT_KEY] = fields.get("key", "")
    for name in ("key", "save", "csv"):
        fields.pop(name, None)
    files = MultiValueDict[str, InMemoryUploadedFile]()
    for name, filename, content_type, encoded in content["files"]:
        data = b64decode(encoded)
        files[name] = InMemoryUploadedFile(
            BytesIO(data), name, filename, content_type, len(data), None
        )
    request.method, request.POST = "POST", fields  # type: ignore[assignment]
    request._files = files  # type: ignore[attr-defined]
    request.form_notice = kept.notice  # type: ignore[attr-defined]


def prune_kept_forms() -> None:
    """Delete old rows; the worker calls this."""
    KeptForm.objects.filter(created_at__lt=timezone.now() - LIFETIME).delete()
