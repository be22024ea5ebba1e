"""Static files below the path that the site is served under (SCRIPT_NAME)."""

from django.urls import get_script_prefix
from whitenoise.storage import (  # type: ignore[import-untyped]
    CompressedManifestStaticFilesStorage,
)


class ScriptPrefix:
    """Begin the address of a static file with the prefix of the current request.

    Django's storage keeps the prefix that it was created with.
    """

    @property
    def base_url(self) -> str:
        return f"{get_script_prefix()}static/"


class CompressedStorage(ScriptPrefix, CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    pass
