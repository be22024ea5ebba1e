"""The id of the web request that is answered: it stands in the log, the audit trail and the answer."""

from contextvars import ContextVar

# Empty outside a request: in a worker, on the command line.
current: ContextVar[str] = ContextVar("request_id", default="")
