"""The endpoints of devices, products and resource spaces."""

from .answers import Endpoint
from .calls import Caller
from .fields import Json, rows
from .ids import checked
from .listing import FIRST_PAGE, ListingPage, PageQuery
from .models import Ack, Application, DeviceInfo, ProductInfo

NO_CONTENT = frozenset({204})


def _spelled(flag: bool | None) -> str:
    return "" if flag is None else str(flag).lower()


class DeviceCalls(Caller):
    def list_devices(
        self,
        page: PageQuery = FIRST_PAGE,
        *,
        product_id: str = "",
        gateway_id: str = "",
        is_cascade_query: bool | None = None,
        node_id: str = "",
        device_name: str = "",
        app_id: str = "",
        start_time: str = "",
        end_time: str = "",
    ) -> ListingPage[DeviceInfo]:
        """One page, newest registration first. Cannot filter by status.

        gateway_id    the children of that device; is_cascade_query adds theirs
        start_time, end_time  of registration, as 20260314T081500Z; the end is exclusive
        Whether node_id and device_name match exactly or in part is not documented.
        """
        filters = {
            "product_id": product_id,
            "gateway_id": gateway_id,
            "is_cascade_query": _spelled(is_cascade_query),
            "node_id": node_id,
            "device_name": device_name,
            "app_id": app_id,
            "start_time": start_time,
            "end_time": end_time,
        }
        return self._page(
            "ListDevices", "/devices", page, filters, "devices", DeviceInfo.from_json
        )

    def show_device(self, device_id: str) -> DeviceInfo:
        """One device, without the credentials IoTDA sends along. Rejected with IOTDA.014000 when there is
        none."""
        return self._read(
            "ShowDevice",
            "GET",
            f"/devices/{checked(device_id, 'device id')}",
            DeviceInfo.from_json,
        )

    def freeze_device(self, device_id: str) -> Ack:
        """Keep a device from connecting. Directly connected devices only (IOTDA.014038 for a child).

        Not idempotent: a frozen device is refused with IOTDA.014039 (inferred; that page was not readable).
        Any success status but 204 is a BadResponse: nothing else is documented, and a re-read settles it.
        """
        return self._switch("FreezeDevice", device_id, "freeze")

    def unfreeze_device(self, device_id: str) -> Ack:
        """Let it connect again. A device that is not frozen is refused with IOTDA.014040."""
        return self._switch("UnfreezeDevice", device_id, "unfreeze")

    def _switch(self, name: str, device_id: str, action: str) -> Ack:
        path = f"/devices/{checked(device_id, 'device id')}/{action}"
        return self._acknowledged(
            Endpoint(name, write=True, done=NO_CONTENT, bodiless=True), "POST", path
        )

    def list_products(
        self, page: PageQuery = FIRST_PAGE, *, app_id: str = "", product_name: str = ""
    ) -> ListingPage[ProductInfo]:
        """One page of products, of one resource space or of all (at most 1,000 an instance)."""
        filters = {"app_id": app_id, "product_name": product_name}
        return self._page(
            "ListProducts",
            "/products",
            page,
            filters,
            "products",
            ProductInfo.from_json,
        )

    def show_product(self, product_id: str, *, app_id: str = "") -> ProductInfo:
        """One product. Rejected with status 404 when there is none."""
        path = f"/products/{checked(product_id, 'product id')}"
        return self._read(
            "ShowProduct", "GET", path, ProductInfo.from_json, query={"app_id": app_id}
        )

    def show_applications(
        self, *, default_app: bool | None = None
    ) -> tuple[Application, ...]:
        """All resource spaces (at most 10 an instance), or the default one, or the others. Not paged."""

        def build(doc: Json) -> tuple[Application, ...]:
            return rows(doc, "applications", Application.from_json)

        return self._read(
            "ShowApplications",
            "GET",
            "/apps",
            build,
            query={"default_app": _spelled(default_app)},
        )
