"""The client: one method per endpoint, with IoTDA's names in snake_case."""

from .devices import DeviceCalls
from .policies import PolicyCalls
from .tasks import TaskCalls


class Client(DeviceCalls, PolicyCalls, TaskCalls):
    """IoTDA's application-side REST API for one project on one host.

    endpoint         https://host; plain http for this machine
    project_id       the project in the path
    auth             StaticToken, PasswordToken or AkSk; clients may share it
    instance_id      sent as Instance-Id if given
    connect_timeout  seconds for name lookup and TCP connect together
    deadline         seconds for a whole call: token, connect, headers and body
    pool_size        the number of connections, and so of concurrent calls; further
                     calls wait within their deadline
    proxy            http://host:port; the environment's proxy variables are ignored
    ca_bundle        a PEM file of CAs to trust in addition to certifi's
    observer         called after each method call, in its thread; its exceptions are
                     logged and dropped
    rate_limiter     called before each request to IoTDA; the deadline does not count
                     its waiting time

    A method sends one HTTP request, or two if a refused token can be renewed. It
    retries nothing else. It raises an IotdaError (see errors.py), or, before any I/O,
    ValueError for a wrong argument: an invalid id (UnsafeId), too many ids, a limit
    out of range. Create it after a fork; it is safe to share between threads.
    """
