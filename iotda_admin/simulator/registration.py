"""A device that comes in after the demo was built."""

from .things import Device, Product
from .world import World


def register(
    world: World,
    product: Product,
    node_id: str,
    *,
    device_id: str | None = None,
    device_name: str | None = None,
    gateway_id: str | None = None,
    status: str = "INACTIVE",
) -> Device:
    now = world.now()
    device_id = device_id or f"{product.product_id}_{node_id}"
    connected = None if status == "INACTIVE" else now
    device = Device(
        record=world.record_ids(now),
        device_id=device_id,
        node_id=node_id,
        gateway_id=gateway_id or device_id,
        device_name=device_name or node_id,
        node_type="ENDPOINT" if gateway_id else "GATEWAY",
        status=status,
        product=product,
        created=now,
        active=connected,
        seen=connected,
    )
    world.add_device(device)
    return device
