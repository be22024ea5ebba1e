"""A client for the application-side REST API of Huawei Cloud IoTDA.

It needs requests and the standard library::

    auth = PasswordToken(
        iam_endpoint="https://iam.cn-north-4.myhuaweicloud.com",
        user="…", password="…", domain="…", project_name="cn-north-4",
    )
    host = "https://….iotda-app.cn-north-4.myhuaweicloud.com"
    with Client(endpoint=host, project_id="…", auth=auth) as iotda:
        for device in walk(iotda.list_devices):
            print(device.device_id, device.status)
        result = iotda.bind_device_policy(policy_id, "device", ids)
        for target, outcome in result.outcomes(ids).by_id.items():
            print(target, outcome.state, outcome.error_code)
"""

from .auth import AkSk, StaticToken
from .base import Ack, CallRecord, Observer, RateLimiter
from .binding import BindOutcome, BindOutcomes, BindResult, BindState, TargetFailure
from .client import Client
from .devices import Application, DeviceInfo, ProductInfo, Tag
from .errors import (
    BadResponse,
    IotdaError,
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
from .tasks import (
    BATCH_TARGET_LIMIT,
    RUNNING_TASK_LIMIT,
    BatchTaskInfo,
    BatchTaskPage,
    TaskProgress,
    TaskTarget,
    TaskType,
)

__all__ = [
    "BATCH_TARGET_LIMIT",
    "BIND_LIMIT",
    "FIRST_PAGE",
    "PAGE_LIMIT",
    "RUNNING_TASK_LIMIT",
    "Ack",
    "AkSk",
    "Application",
    "BadResponse",
    "BatchTaskInfo",
    "BatchTaskPage",
    "BindOutcome",
    "BindOutcomes",
    "BindResult",
    "BindState",
    "CallRecord",
    "Client",
    "DeviceInfo",
    "DevicePolicy",
    "FetchPage",
    "IotdaError",
    "ListingPage",
    "Observer",
    "PageQuery",
    "PasswordToken",
    "PolicyStatement",
    "PolicyTarget",
    "PolicyTargetType",
    "ProductInfo",
    "RateLimiter",
    "Rejected",
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
    "walk",
    "walk_windows",
]
