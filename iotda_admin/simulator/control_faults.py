"""Setting and lifting faults."""

from typing import Any

from fastapi import APIRouter, HTTPException

from .fault_kinds import KINDS
from .faults import Order
from .simulator import Simulator


def fault_routes(simulator: Simulator) -> APIRouter:
    router = APIRouter(prefix="/_sim/faults")

    @router.post("")
    async def add(order: Order) -> dict[str, int]:
        if order.fault not in KINDS:
            raise HTTPException(
                400, f"There is no fault {order.fault!r}; there are {', '.join(KINDS)}."
            )
        return {"id": simulator.faults.add(order, KINDS[order.fault]).id}

    @router.get("")
    async def shown() -> dict[str, list[dict[str, Any]]]:
        return {"faults": [fault.shown() for fault in simulator.faults.set.values()]}

    @router.delete("", status_code=204)
    async def clear() -> None:
        simulator.faults.set.clear()

    @router.delete("/{number}", status_code=204)
    async def remove(number: int) -> None:
        if simulator.faults.set.pop(number, None) is None:
            raise HTTPException(404, "There is no such fault.")

    return router
