"""The endpoints of IoTDA and IAM.

To add an endpoint, write a function named like IoTDA's operation and declare its route:

    @iotda.route("GET", "/devices/{device_id}")
    def show_device(state: State, request: Request) -> Response: ...
"""
