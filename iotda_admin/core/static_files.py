"""Static files below the path that the site is served under (SCRIPT_NAME)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.urls import get_script_prefix
from whitenoise.storage import (  # type: ignore[import-untyped]
    CompressedManifestStaticFilesStorage,
)

# In a script only those that have a line of their own.
COMMENTS = {
    "css": re.compile(r"/\*.*?\*/", re.S),
    "js": re.compile(r"^\s*//.*$", re.M),
}
LINE_END = re.compile(r"\s*\n\s*")


class ScriptPrefix:
    """Begin the address of a static file with the prefix of the current request.

    Django's storage keeps the prefix that it was created with.
    """

    @property
    def base_url(self) -> str:
        return f"{get_script_prefix()}static/"


def without_comments(name: str, text: str) -> str:
    """Return a style sheet or script without comments and indentation."""
    comments = COMMENTS.get(name.rpartition(".")[2])
    return LINE_END.sub("\n", comments.sub("", text)) if comments else text


class Shortened:
    """The files of a storage, our style sheet and script without comments."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def open(self, name: str) -> "ContentFile[bytes]":
        with self.storage.open(name) as file:
            text = without_comments(name, file.read().decode())
        return ContentFile(text.encode(), name)


class CompressedStorage(ScriptPrefix, CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    def post_process(
        self, paths: Mapping[str, tuple[Any, str]], *args: Any, **options: Any
    ) -> Iterator[Any]:
        """Add the files under names with a hash, ours without comments."""
        ours = {
            name: (Shortened(storage), path)
            for name, (storage, path) in paths.items()
            if name in ("app.css", "app.js")
        }
        yield from super().post_process({**paths, **ours}, *args, **options)
