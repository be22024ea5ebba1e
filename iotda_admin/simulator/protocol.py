"""uvicorn's HTTP/1.1 protocol, with the connection within the API's reach: faults need to break it."""

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class Wire(H11Protocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app_state = {**self.app_state, "wire": self}
        self._hanging = False

    @property
    def gone(self) -> bool:
        return self.transport.is_closing()

    async def write(self, data: bytes) -> None:
        """Bytes past HTTP; whoever starts with this has to end with `close` or `reset`."""
        self.cycle.response_started = True
        await self.flow.drain()
        if not self.gone:
            self.transport.write(data)

    def close(self) -> None:
        self.cycle.disconnected = True  # keeps uvicorn from answering as well
        self.transport.close()

    def reset(self) -> None:
        if self.gone:
            return
        self.cycle.disconnected = True
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self.transport.abort()

    def shutdown(self) -> None:
        """The simulator ends, and waits for the calls on their way, but not for one that hangs."""
        if self._hanging:
            self.reset()
        else:
            super().shutdown()

    async def until_gone(self, seconds: float) -> None:
        """The client left, or this long has passed."""
        self._hanging = True
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self.gone and loop.time() < end:
            self.cycle.message_event.clear()
            self.transport.resume_reading()
            try:
                async with asyncio.timeout_at(end):
                    await self.cycle.message_event.wait()
            except TimeoutError:
                return
