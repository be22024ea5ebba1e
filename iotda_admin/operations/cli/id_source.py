"""The IDs of a command: from arguments, a file, or standard input."""

import sys
from collections.abc import Iterator, Sequence
from typing import IO

from django.conf import settings

from iotda_admin.core.id_import import UTF_16, UnreadableFile, read_id_text
from iotda_admin.core.ids import IdList, TooManyIds, collect_ids, numbered_values
from iotda_admin.operations.services import OperationRejected
from iotda_admin.operations.web.forms import describe_invalid_ids

STDIN = "-"


def given_ids(
    arguments: Sequence[str], file: str | None, kind: str
) -> tuple[list[str], int]:
    """Return the IDs of all sources, each once, and the number of duplicates.

    Raise OperationRejected; it names each invalid ID with its file and line.
    """
    found, mentions, complaints = dict[str, None](), 0, list[str]()
    try:
        for name, ids in sources(arguments, file, kind):
            mentions += len(ids.ids) + ids.duplicates
            found |= dict.fromkeys(ids.ids)
            invalid = describe_invalid_ids(ids)
            complaints += [f"{name}: {each}" if name else each for each in invalid]
    except OSError as error:
        complaints.append(f"{error.filename or 'standard input'}: {error.strerror}.")
    except UnreadableFile as error:
        complaints.append(str(error))
    except TooManyIds:
        limit = f"{settings.TARGETS_LIMIT:,}"
        complaints.append(f"More IDs than the {limit} that one operation may have.")
    if not found and not complaints:
        complaints.append(
            "No IDs were given. Name them, or give --file PATH, or - for standard input."
        )
    if complaints:
        raise OperationRejected("\n".join(complaints))
    return list(found), mentions - len(found)


def sources(
    arguments: Sequence[str], file: str | None, kind: str
) -> Iterator[tuple[str, IdList]]:
    """Yield each source of IDs, with its name."""
    named = "\n".join(argument for argument in arguments if argument != STDIN)
    # An argument has no line.
    values = ((0, value) for _line, value in numbered_values(named))
    yield "", collect_ids(values, settings.TARGETS_LIMIT)
    if file and file != STDIN:
        with open(file, "rb") as stream:
            yield file, read_stream(file, stream, kind)
    if STDIN in (*arguments, file) or (not arguments and not file and piped()):
        yield "standard input", read_stream("standard input", sys.stdin.buffer, kind)


def piped() -> bool:
    return sys.stdin is not None and not sys.stdin.isatty()


def read_stream(name: str, stream: IO[bytes], kind: str) -> IdList:
    data = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    if len(data) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        raise UnreadableFile(
            f"{name}: too large. One operation may have {settings.TARGETS_LIMIT:,} targets."
        )
    encoding = "utf-16" if data.startswith(UTF_16) else "utf-8-sig"
    text = data.decode(encoding, errors="backslashreplace")
    try:
        return read_id_text(text, limit=settings.TARGETS_LIMIT, kind=kind)
    except UnreadableFile as error:
        raise UnreadableFile(f"{name}: {error}") from None
