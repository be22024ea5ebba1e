"""The client: one method an endpoint, with IoTDA's own names."""

from .devices import DeviceCalls
from .policies import PolicyCalls
from .tasks import TaskCalls


class Client(DeviceCalls, PolicyCalls, TaskCalls):
    """IoTDA's application-side REST API for one project on one host.

    endpoint         https://host; plain http for this machine only, or with allow_http
    project_id       the project of the path
    auth             StaticToken, PasswordToken or AkSk; the caller's, who may share it between clients
    instance_id      sent as Instance-Id when given
    region           completes an AkSk that has none
    connect_timeout  seconds for name lookup and TCP connect together
    deadline         seconds for a whole method call: token, connect, headers and body
    pool_size        connections, and so calls at a time; further callers wait within their deadline
    proxy            http://host:port; the environment's proxy variables are not used
    ca_bundle        a file of CAs to trust instead of certifi's
    observer         called after each method call, in its thread; what it raises is logged and dropped
    rate_limiter     called before each request to IoTDA; the deadline pauses while it waits

    A method makes one HTTP request, two when a token is refused that can be renewed, and retries nothing
    else. It raises IotdaError (see errors.py), or ValueError for a caller's mistake, before any I/O: an id
    that is none (InvalidId), too many ids, a limit out of range. Share it between threads; make it after
    forking.
    """
