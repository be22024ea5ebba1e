"""A client for Huawei Cloud IoTDA's application-side REST API. Needs requests and nothing else.

::

    iam = "https://iam.cn-north-4.myhuaweicloud.com"
    auth = PasswordToken(iam_endpoint=iam, user="…", password="…", domain="…", project_name="cn-north-4")
    host = "https://….iotda-app.cn-north-4.myhuaweicloud.com"
    with Client(endpoint=host, project_id="…", auth=auth) as iotda:
        for device in walk(iotda.list_devices):
            print(device.device_id, device.status)
        answer = iotda.bind_device_policy(policy_id, "device", ids)
        for target, verdict in answer.verdicts(ids).by_id.items():
            print(target, verdict.outcome, verdict.error_code)
"""

from .auth import AkSk, StaticToken
from .binding import BindOutcome, BindOutcomes, BindResult, BindState, TargetFailure
from .calls import CallRecord, Observer, RateLimiter
from .client import Client
from .errors import (
    BadResponse,
    InvalidId,
    IotdaError,
    Rejected,
    Throttled,
    Unauthorized,
    Unreachable,
)
from .iam import PasswordToken
from .listing import (
    FIRST_PAGE,
    OFFSET_LIMIT,
    PAGE_LIMIT,
    FetchPage,
    ListingPage,
    PageQuery,
    walk,
    walk_windows,
)
from .models import Ack, Application, DeviceInfo, ProductInfo, Tag
from .policies import (
    BIND_LIMIT,
    POLICIES_PER_TARGET,
    POLICY_LIMIT,
    POLICY_TARGET_TYPES,
    DevicePolicy,
    PolicyStatement,
    PolicyTarget,
    PolicyTargetType,
)
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
from .transport import BODY_LIMIT

__all__ = [
    "BATCH_TARGET_LIMIT",
    "BIND_LIMIT",
    "BODY_LIMIT",
    "FIRST_PAGE",
    "OFFSET_LIMIT",
    "PAGE_LIMIT",
    "POLICIES_PER_TARGET",
    "POLICY_LIMIT",
    "POLICY_TARGET_TYPES",
    "RUNNING_TASK_LIMIT",
    "TASK_TYPES",
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
    "InvalidId",
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
    "walk",
    "walk_windows",
]
