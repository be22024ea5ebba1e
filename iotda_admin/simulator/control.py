"""The control port: what tests and demos use, and the product never does."""

from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .control_devices import device_routes
from .control_faults import fault_routes
from .control_things import thing_routes
from .simulator import Simulator
from .tasks import advance


class Reset(BaseModel):
    model_config = ConfigDict(extra="forbid")

    devices: int | None = Field(None, ge=0, le=1_000_000)
    seed: int | None = None
    settings: dict[str, Any] = {}


def create_control(simulator: Simulator) -> FastAPI:
    async def catch_up() -> None:
        advance(simulator.world)

    control = FastAPI(
        title="IoTDA simulator, control",
        dependencies=[Depends(catch_up)],
        openapi_url=None,
    )
    control.add_exception_handler(RequestValidationError, _wrong)
    control.add_exception_handler(ValidationError, _wrong)
    control.include_router(device_routes(simulator))
    control.include_router(thing_routes(simulator))
    control.include_router(fault_routes(simulator))

    @control.get("/_sim/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "devices": len(simulator.world.devices)}

    @control.post("/_sim/reset")
    async def reset(wanted: Reset | None = None) -> dict[str, Any]:
        simulator.reset(**(wanted or Reset()).model_dump())
        return {"devices": len(simulator.world.devices)}

    @control.get("/_sim/settings")
    async def settings() -> dict[str, Any]:
        return simulator.world.settings.model_dump()

    @control.patch("/_sim/settings")
    async def change(changes: dict[str, Any]) -> dict[str, Any]:
        simulator.change(changes)
        return simulator.world.settings.model_dump()

    @control.get("/_sim/journal")
    async def journal(after: int = 0, operation: str | None = None) -> JSONResponse:
        return JSONResponse(
            {"entries": list(simulator.journal.since(after, operation or None))}
        )

    @control.delete("/_sim/journal", status_code=204)
    async def clear_journal() -> None:
        simulator.journal.clear()

    @control.get("/_sim/landmarks")
    async def known() -> dict[str, Any]:
        return simulator.world.landmarks

    return control


async def _wrong(request: Request, exc: Exception) -> JSONResponse:
    problems = (
        exc.errors()
        if isinstance(exc, RequestValidationError | ValidationError)
        else []
    )
    texts = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems]
    return JSONResponse({"error": "; ".join(texts)}, status_code=400)
