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
from .binding import BindAnswer, Outcome, TargetFailure, Verdict, Verdicts
from .calls import CallRecord, Gate, Observer
from .client import Client
from .errors import (
    BadAnswer,
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
    Page,
    PageQuery,
    walk,
    walk_windows,
)
from .models import Ack, Application, Device, Product, Tag
from .policies import (
    BIND_LIMIT,
    POLICIES_PER_TARGET,
    POLICY_LIMIT,
    TARGET_TYPES,
    DevicePolicy,
    PolicyTarget,
    Statement,
    TargetType,
)
from .tasks import (
    BATCH_TARGET_LIMIT,
    RUNNING_TASK_LIMIT,
    TASK_TYPES,
    BatchTask,
    BatchTaskDetails,
    TaskDetail,
    TaskProgress,
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
    "RUNNING_TASK_LIMIT",
    "TARGET_TYPES",
    "TASK_TYPES",
    "Ack",
    "AkSk",
    "Application",
    "BadAnswer",
    "BatchTask",
    "BatchTaskDetails",
    "BindAnswer",
    "CallRecord",
    "Client",
    "Device",
    "DevicePolicy",
    "FetchPage",
    "Gate",
    "InvalidId",
    "IotdaError",
    "Observer",
    "Outcome",
    "Page",
    "PageQuery",
    "PasswordToken",
    "PolicyTarget",
    "Product",
    "Rejected",
    "Statement",
    "StaticToken",
    "Tag",
    "TargetFailure",
    "TargetType",
    "TaskDetail",
    "TaskProgress",
    "TaskType",
    "Throttled",
    "Unauthorized",
    "Unreachable",
    "Verdict",
    "Verdicts",
    "walk",
    "walk_windows",
]
