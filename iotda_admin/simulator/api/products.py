"""The endpoints of products."""

from typing import Any

from ..server import Request, Response
from ..state.clock import format_basic
from ..state.models import Product
from ..state.records import RecordList
from ..state.store import State
from .applications import read_app_id
from .errors import ApiError
from .filters import read_text
from .paging import Window, page
from .routers import iotda


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
        "create_time": format_basic(product.created),
    }


@iotda.route("GET", "/products")
def list_products(state: State, request: Request) -> Response:
    app_id, name = (
        read_app_id(state, request),
        read_text(request.query, "product_name", 64),
    )
    products = [
        product
        for product in state.product_list.items
        if app_id in (None, product.space.app_id) and name in (None, product.name)
    ]
    window = Window.read(request.query)
    return Response(
        200, page("products", RecordList(products), window, product_row, state.settings)
    )


@iotda.route("GET", "/products/{product_id}")
def show_product(state: State, request: Request) -> Response:
    app_id = read_text(request.query, "app_id", 36)
    product = state.products.get(request.path_params["product_id"])
    if product is None or app_id not in (None, product.space.app_id):
        raise ApiError(
            404, state.settings.unknown_product_code, "The product does not exist."
        )
    capabilities = {"service_capabilities": list(product.service_capabilities)}
    return Response(200, product_row(product) | capabilities)
