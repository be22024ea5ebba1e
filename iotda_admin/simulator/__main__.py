"""python -m iotda_admin.simulator: the API on one port, the control on another, one process."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn

from .app import Api
from .config import HOST, Config, WrongSetting, environment, read_config
from .control import create_control
from .protocol import Wire
from .simulator import Simulator


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Two servers share one process: neither may take its signals for itself."""
        yield


def _server(app: object, protocol: object) -> Server:
    return Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            http=protocol,  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
            backlog=2048,
        )
    )


def _listen(name: str, port: int) -> socket.socket:
    # Named TCP, as asyncio turns off Nagle's delay only for such a socket: 40 ms an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as exc:
        raise WrongSetting(
            f"{name}: cannot listen on {HOST}:{port}: {exc.strerror}."
        ) from exc
    return listener


async def serve(config: Config) -> None:
    listeners = [
        _listen("SIMULATOR_PORT", config.port),
        _listen("SIMULATOR_CONTROL_PORT", config.control_port),
    ]
    simulator = Simulator(config)
    servers = [_server(Api(simulator), Wire), _server(create_control(simulator), "h11")]

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    pairs = zip(servers, listeners, strict=True)
    running = asyncio.gather(
        *(server.serve(sockets=[listener]) for server, listener in pairs)
    )
    while not all(server.started for server in servers) and not running.done():
        await asyncio.sleep(0.005)
    api, control = (
        f"http://{HOST}:{listener.getsockname()[1]}" for listener in listeners
    )
    print(json.dumps({"api": api, "control": control}), flush=True)  # noqa: T201 - the one line
    await running


def main() -> int:
    try:
        asyncio.run(serve(read_config(environment(), sys.argv[1:])))
    except WrongSetting as exc:
        print(exc, file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
