"""What can go wrong with a request.

To add a fault, write a coroutine and decorate it with `replaces_response` or with
`wraps_request`; its name is the fault's name.
"""

from . import bodies, connections, odd, responses  # noqa: F401 - they register their faults
