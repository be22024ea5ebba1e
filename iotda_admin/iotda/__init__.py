"""A client for the application-side REST API of Huawei Cloud IoTDA.

It needs requests, with urllib3, and the standard library::

    auth = PasswordToken(
        iam_endpoint="https://iam.cn-north-4.myhuaweicloud.com",
        user="…", password="…", domain="…", project_id="…",
    )
    host = "https://….iotda-app.cn-north-4.myhuaweicloud.com"
    iotda = Client(endpoint=host, project_id="…", auth=auth)
    for device in walk(iotda.list_devices):
        print(device.device_id, device.status)
    result = iotda.bind_device_policy(policy_id, "device", ids)
    for target, outcome in result.outcomes(ids).by_id.items():
        print(target, outcome.state, outcome.error_code)
"""

from .auth import AkSk, StaticToken
from .base import CallRecord, RateLimiter
from .binding import BindOutcome, BindResult, BindState, TargetFailure
from .client import Client
from .devices import LISTED_TEXTS, DeviceInfo, Tag, is_status
from .errors import (
    ALL_BUSY,
    UNTRUSTED,
    BadResponse,
    IotdaError,
    OutOfTime,
    ProxyFailed,
    Rejected,
    Throttled,
    Unauthorized,
    Unreachable,
    UnsafeId,
)
from .iam import PasswordToken
from .listing import (
    FIRST_PAGE,
    PAGE_LIMIT,
    FetchPage,
    ListingPage,
    PageQuery,
    walk,
    walk_windows,
)
from .policies import (
    BIND_LIMIT,
    DevicePolicy,
    PolicyStatement,
    PolicyTarget,
    PolicyTargetType,
)
from .sockets import longest_wait, time_budget
from .tasks import (
    BATCH_TARGET_LIMIT,
    RUNNING_TASK_LIMIT,
    TASK_TYPES,
    BatchTaskInfo,
    BatchTaskPage,
    TaskProgress,
    TaskTarget,
    TaskType,
)
from .transport import Response

__all__ = [
    "ALL_BUSY",
    "BATCH_TARGET_LIMIT",
    "BIND_LIMIT",
    "FIRST_PAGE",
    "LISTED_TEXTS",
    "PAGE_LIMIT",
    "RUNNING_TASK_LIMIT",
    "TASK_TYPES",
    "UNTRUSTED",
    "AkSk",
    "BadResponse",
    "BatchTaskInfo",
    "BatchTaskPage",
    "BindOutcome",
    "BindResult",
    "BindState",
    "CallRecord",
    "Client",
    "DeviceInfo",
    "DevicePolicy",
    "FetchPage",
    "IotdaError",
    "ListingPage",
    "OutOfTime",
    "PageQuery",
    "PasswordToken",
    "PolicyStatement",
    "PolicyTarget",
    "PolicyTargetType",
    "ProxyFailed",
    "RateLimiter",
    "Rejected",
    "Response",
    "StaticToken",
    "Tag",
    "TargetFailure",
    "TaskProgress",
    "TaskTarget",
    "TaskType",
    "Throttled",
    "Unauthorized",
    "Unreachable",
    "UnsafeId",
    "is_status",
    "longest_wait",
    "time_budget",
    "walk",
    "walk_windows",
]
