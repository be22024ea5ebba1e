"""What the control port may change while the simulator runs.

Where the documents leave IoTDA's behaviour open, both readings are here as a named switch;
"assumed" marks a default that no source confirms.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Answer = Literal["success", "failure"]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    # Behaviour left open by the documents.
    already_bound: Answer = "success"  # assumed: binding is set membership
    already_bound_code: str = "IOTDA.015203"  # assumed: no source shows it
    not_bound: Answer = "success"  # assumed, as above
    not_bound_code: str = "IOTDA.015205"  # assumed
    cross_space: Answer = (
        "success"  # assumed: a policy may be bound to a device of another space
    )
    cross_space_code: str = "IOTDA.001007"  # assumed
    unknown_target_code: str = "IOTDA.014000"  # assumed
    unknown_policy_code: str = "IOTDA.015201"  # assumed; the status is 404
    unknown_product_code: str = "IOTDA.000029"  # assumed; the status is 404
    policy_name_taken_code: str = "IOTDA.015202"  # assumed
    policy_quota_code: str = "IOTDA.015206"  # assumed
    unknown_task_code: str = "IOTDA.014201"  # assumed; the status is 404
    task_refused_code: str = (
        "IOTDA.014202"  # assumed: retry, stop or delete in the wrong state
    )
    task_quota_code: str = "IOTDA.014203"  # assumed: too many tasks running
    repeat_freeze: Literal["error", "ok"] = "error"  # assumed: 403 IOTDA.014039
    repeat_unfreeze: Literal["error", "ok"] = "error"  # documented: 403 IOTDA.014040
    after_unfreeze: Literal["offline", "inactive", "online"] = (
        "offline"  # assumed; INACTIVE if never active
    )
    create_policy_status: Literal[200, 201, 202] = 201  # assumed
    delete_policy_status: Literal[200, 202, 204] = 204  # assumed
    echo_targets: Literal["create", "always"] = (
        "create"  # assumed: 30,000 ids are not repeated with each poll
    )
    create_task_status: Literal[200, 201, 202] = 201  # assumed
    empty_page_marker: Literal["absent", "empty", "echo"] = "absent"  # assumed
    count_after_marker: bool = (
        False  # assumed: page.count is the total whatever the marker
    )

    # Lists and list-targets learn of a freeze or a binding this much later; ShowDevice at once.
    stale_list_ms: float = Field(0, ge=0)  # assumed: not at all

    # Who is asked, and how.
    host_kind: Literal["any", "regional", "regional_unsubscribed", "instance"] = "any"
    instance_id: str = ""  # when set, another Instance-Id is refused
    clock_skew_s: float = 0
    token_ttl_s: float = Field(24 * 3600, ge=0)

    # Speed.
    latency_ms: float = Field(0, ge=0, le=60_000)
    rate: float = Field(0, ge=0)  # calls a second for the whole API, 0 is unlimited
    burst: float = Field(0, ge=0)  # 0 is one second's worth
    task_speed: float = Field(
        500, gt=0
    )  # devices a second; what the platform does is unknown
    task_delay_s: float = Field(
        0.2, ge=0
    )  # Initializing, then Waitting, before it starts

    # Quotas.
    bind_limit: int = Field(20, ge=1)
    policies_per_target: int = Field(5, ge=1)
    policies: int = Field(50, ge=1)
    running_tasks: int = Field(10, ge=1)
    task_targets: int = Field(30_000, ge=1)
