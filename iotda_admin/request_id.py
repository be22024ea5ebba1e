"""The id of the web request that is being answered: it stands in the log, in the audit trail and in the answer."""

from contextvars import ContextVar

# Empty outside a request: in a worker, on the command line.
current: ContextVar[str] = ContextVar("request_id", default="")
