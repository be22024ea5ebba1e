"""The two services behind the API port."""

from ..routing import Router
from ..state.store import State

iotda: Router[State] = Router("/v5/iot/{project_id}")
iam: Router[State] = Router("/v3")
