"""The IDs of a command: from arguments, a file, or standard input."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from django.conf import settings

from iotda_admin.core.id_columns import Column, ColumnNeeded
from iotda_admin.core.id_import import read_id_arguments, read_id_file
from iotda_admin.core.ids import IdList, Lookup, TooManyIds, resolve_ids
from iotda_admin.core.text_files import UnreadableFile
from iotda_admin.operations.services import OperationRejected
from iotda_admin.operations.web.forms import describe_invalid_ids

STDIN = "-"


@dataclass(frozen=True, slots=True)
class IdInput:
    """Where a command finds its IDs.

    kind: the type of the targets; column: the heading or number that --column gives
    """

    arguments: Sequence[str]
    file: str | None = None
    kind: str = "device"
    column: str = ""

    def lists(self) -> Iterator[tuple[str, IdList]]:
        """Yield the name and the IDs of each source."""
        named = [argument for argument in self.arguments if argument != STDIN]
        yield "", read_id_arguments(named, limit=settings.TARGETS_LIMIT)
        if self.file and self.file != STDIN:
            with open(self.file, "rb") as stream:
                data = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
            yield self.file, self.read(self.file, data)
        given = (*self.arguments, self.file or "")
        if STDIN in given or (not any(given) and piped()):
            data = sys.stdin.buffer.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
            yield "standard input", self.read("standard input", data)

    def read(self, name: str, data: bytes) -> IdList:
        limit = settings.TARGETS_LIMIT
        if len(data) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            message = f"{name}: too large. One operation may have {limit:,} targets."
            raise UnreadableFile(message)
        column = Column(self.column) if self.column else None
        try:
            return read_id_file(
                BytesIO(data), limit=limit, kind=self.kind, column=column
            )
        except ColumnNeeded as error:
            raise UnreadableFile(f"{name}: {error} {column_help(error)}") from None
        except UnreadableFile as error:
            raise UnreadableFile(f"{name}: {error}") from None


def given_ids(source: IdInput, lookup: Lookup | None = None) -> IdList:
    """Return the IDs of all sources, each once, and the number of duplicates.

    With a lookup, its targets may be named otherwise. Raise OperationRejected; it names
    each invalid ID with its file and line.
    """
    given, mentions, complaints = IdList(), 0, list[str]()
    found = dict[str, None]()
    try:
        for name, ids in source.lists():
            if lookup:
                resolve_ids(ids, lookup)
            mentions += len(ids.ids) + ids.duplicates
            found |= dict.fromkeys(ids.ids)
            given.resolved |= ids.resolved
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
    given.ids, given.duplicates = list(found), mentions - len(found)
    return given


def piped() -> bool:
    return sys.stdin is not None and not sys.stdin.isatty()


def column_help(error: ColumnNeeded) -> str:
    example = error.columns[-1]
    return (
        f'Name its heading: --column "{example}". If row 1 has IDs already, give the'
        f" number of the column: --column {len(error.columns)}."
    )
