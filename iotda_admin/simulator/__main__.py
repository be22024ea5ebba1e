"""Serves the API and the control port in one process."""

import asyncio
import json
import os
import signal
import socket
import sys

from .api.dispatch import Api
from .app import Simulator
from .config import HOST, Config, SettingError, read_config
from .control.dispatch import Control
from .server import start_server


def _listen(name: str, port: int) -> socket.socket:
    # asyncio turns off Nagle's delay, 40 ms a response, only if the protocol is given.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as exc:
        raise SettingError(
            f"{name}: cannot listen on {HOST}:{port}: {exc.strerror}."
        ) from exc
    return listener


async def serve(config: Config, api: type[Api]) -> None:
    listeners = {
        "api": _listen("SIMULATOR_PORT", config.port),
        "control": _listen("SIMULATOR_CONTROL_PORT", config.control_port),
    }
    simulator, stop = Simulator(config), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    servers = [
        await start_server(api(simulator), listeners["api"]),
        await start_server(Control(simulator), listeners["control"]),
    ]
    addresses = {
        name: f"http://{HOST}:{one.getsockname()[1]}" for name, one in listeners.items()
    }
    print(json.dumps(addresses), flush=True)  # noqa: T201 - the only line of output
    await stop.wait()
    for server in servers:
        server.close()


def main(api: type[Api] = Api) -> int:
    try:
        asyncio.run(serve(read_config(os.environ, sys.argv[1:]), api))
    except SettingError as exc:
        print(exc, file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
