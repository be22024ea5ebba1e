"""The IDs of a command: from arguments, a file, or standard input."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.conf import settings

from iotda_admin.core.id_import import UTF_16, UnreadableFile, read_id_text
from iotda_admin.core.ids import IdList, InvalidId, TooManyIds, parse_ids
from iotda_admin.operations.web.forms import describe_invalid_ids

STDIN = "-"


@dataclass(slots=True)
class Given:
    ids: list[str] = field(default_factory=list)
    duplicates: int = 0
    complaints: list[str] = field(default_factory=list)


def given_ids(arguments: Sequence[str], file: str | None, kind: str) -> Given:
    """Return the IDs of all sources, each once, and the invalid ones with file and line."""
    given, found, mentions = Given(), dict[str, None](), 0
    try:
        for name, pasted in sources(arguments, file, kind):
            mentions += len(pasted.ids) + pasted.duplicates
            found |= dict.fromkeys(pasted.ids)
            given.complaints += list(complaints(name, pasted))
    except OSError as error:
        given.complaints.append(
            f"{error.filename or 'standard input'}: {error.strerror}."
        )
    except UnreadableFile as error:
        given.complaints.append(str(error))
    except TooManyIds:
        given.complaints.append(
            f"More IDs than the {settings.TARGETS_LIMIT:,} that one operation may have."
        )
    if not found and not given.complaints:
        given.complaints.append(
            "No IDs were given. Name them, or give --file PATH, or - for standard input."
        )
    given.ids, given.duplicates = list(found), mentions - len(found)
    return given


def sources(
    arguments: Sequence[str], file: str | None, kind: str
) -> Iterator[tuple[str, IdList]]:
    """Yield each source of IDs, with its name."""
    yield (
        "",
        parse_ids(
            "\n".join(argument for argument in arguments if argument != STDIN),
            settings.TARGETS_LIMIT,
        ),
    )
    if file and file != STDIN:
        with open(file, "rb") as stream:
            data = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        yield file, pasted_in(file, data, kind)
    if STDIN in (*arguments, file) or (not arguments and not file and piped()):
        data = sys.stdin.buffer.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        yield "standard input", pasted_in("standard input", data, kind)


def piped() -> bool:
    return sys.stdin is not None and not sys.stdin.isatty()


def pasted_in(name: str, data: bytes, kind: str) -> IdList:
    if len(data) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        raise UnreadableFile(
            f"{name}: too large. One operation may have {settings.TARGETS_LIMIT:,} targets."
        )
    text = data.decode(
        "utf-16" if data.startswith(UTF_16) else "utf-8-sig", errors="backslashreplace"
    )
    try:
        return read_id_text(text, limit=settings.TARGETS_LIMIT, kind=kind)
    except UnreadableFile as error:
        raise UnreadableFile(f"{name}: {error}") from None


def complaints(name: str, pasted: IdList) -> Iterator[str]:
    # An argument has no line.
    problems = (
        pasted.problems
        if name
        else [InvalidId(0, problem.value) for problem in pasted.problems]
    )
    for line in describe_invalid_ids(problems, pasted.wrong):
        yield f"{name}: {line}" if name else line
