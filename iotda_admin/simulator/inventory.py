"""ListProducts, ShowProduct, ShowApplications, ShowApplication."""

from typing import Any

from .calls import Answer, Call
from .clock import basic
from .errors import Refusal
from .filters import choice, text
from .paging import Window, page
from .records import Records
from .things import Product, Space
from .world import World


def product_row(product: Product) -> dict[str, Any]:
    return {
        "app_id": product.space.app_id,
        "app_name": product.space.app_name,
        "product_id": product.product_id,
        "name": product.name,
        "device_type": product.device_type,
        "protocol_type": product.protocol_type,
        "data_format": product.data_format,
        "manufacturer_name": product.manufacturer_name,
        "industry": product.industry,
        "description": product.description,
        "create_time": basic(product.created),
    }


def list_products(world: World, call: Call) -> Answer:
    app_id, name = text(call.query, "app_id", 36), text(call.query, "product_name", 64)
    if app_id:
        world.space(app_id)
    records = Records(
        [
            product
            for product in world.product_records.items
            if app_id in (None, product.space.app_id) and name in (None, product.name)
        ]
    )
    return Answer(
        200,
        page("products", records, Window.read(call.query), product_row, world.settings),
    )


def show_product(world: World, call: Call) -> Answer:
    app_id = text(call.query, "app_id", 36)
    product = world.products.get(call.path["product_id"])
    if product is None or app_id not in (None, product.space.app_id):
        raise Refusal(
            404, world.settings.unknown_product_code, "The product does not exist."
        )
    return Answer(
        200,
        product_row(product)
        | {"service_capabilities": list(product.service_capabilities)},
    )


def space_row(space: Space) -> dict[str, Any]:
    return {
        "app_id": space.app_id,
        "app_name": space.app_name,
        "create_time": basic(space.created),
        "default_app": space.default_app,
    }


def show_applications(world: World, call: Call) -> Answer:
    wanted = choice(call.query, "default_app", ("true", "false"))
    spaces = [
        s for s in world.spaces.values() if wanted in (None, str(s.default_app).lower())
    ]
    return Answer(200, {"applications": [space_row(space) for space in spaces]})


def show_application(world: World, call: Call) -> Answer:
    return Answer(200, space_row(world.space(call.path["app_id"])))
