"""`exec` in a container over a websocket: the v4 and v5 channel protocols of the Kubernetes API."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import signal
import struct
import subprocess
import termios
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import WSMessage, WSMsgType, web

from airflow_mlops_provider.testing.cluster.objects import Json
from airflow_mlops_provider.testing.cluster.process import Process

__all__ = ["ExecOptions", "run_exec"]

_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


@dataclass(frozen=True)
class ExecOptions:
    """The query parameters of `.../exec`."""

    command: Sequence[str]
    stdin: bool
    tty: bool


async def run_exec(request: web.Request, container: Process, options: ExecOptions) -> web.WebSocketResponse:
    """Run the command in the container's namespaces and carry its streams until it ends."""
    socket = web.WebSocketResponse(protocols=_PROTOCOLS)
    await socket.prepare(request)
    session = await (_terminal if options.tty else _pipes)(container, options)
    reading = asyncio.create_task(_feed(socket, session))
    try:
        await asyncio.gather(*(_carry(socket, *stream) for stream in session.streams))
        code = await session.process.wait()
    finally:
        reading.cancel()
        await session.close()
    await socket.send_bytes(bytes([_ERROR]) + json.dumps(_outcome(code)).encode())
    await socket.close()
    return socket


@dataclass
class _Session:
    process: asyncio.subprocess.Process
    streams: Sequence[tuple[int, asyncio.StreamReader]]
    terminal: int | None = None
    transport: asyncio.ReadTransport | None = None

    def feed(self, data: bytes) -> None:
        if self.terminal is not None:
            os.write(self.terminal, data)
        elif self.process.stdin and not self.process.stdin.is_closing():
            self.process.stdin.write(data)

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        if self.transport:
            self.transport.close()

    def close_input(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()


async def _pipes(container: Process, options: ExecOptions) -> _Session:
    process = await asyncio.create_subprocess_exec(
        *container.enter(options.command),
        env=container.env,
        stdin=subprocess.PIPE if options.stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    return _Session(process, [(_STDOUT, process.stdout), (_STDERR, process.stderr)])


async def _terminal(container: Process, options: ExecOptions) -> _Session:
    ours, theirs = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *("setsid", "--ctty", "--wait", *container.enter(options.command)),
            env=container.env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    stream = asyncio.StreamReader()
    reader = os.fdopen(ours, "rb", buffering=0)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), reader)
    return _Session(process, [(_STDOUT, stream)], ours, transport)


async def _feed(socket: web.WebSocketResponse, session: _Session) -> None:
    async for message in socket:
        data = _bytes(message)
        if not data:
            continue
        channel, data = data[0], data[1:]
        if channel == _STDIN:
            session.feed(data)
        elif channel == _CLOSE and data[:1] == bytes([_STDIN]):
            session.close_input()
        elif channel == _RESIZE and session.terminal is not None:
            _resize(session.terminal, json.loads(data))
    if session.process.returncode is None:
        session.process.send_signal(signal.SIGHUP)  # the client has gone


def _bytes(message: WSMessage) -> bytes:
    if message.type is WSMsgType.TEXT:
        return str(message.data).encode()
    return bytes(message.data) if message.type is WSMsgType.BINARY else b""


def _resize(terminal: int, size: Json) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size["Height"], size["Width"], 0, 0))


async def _carry(socket: web.WebSocketResponse, channel: int, stream: asyncio.StreamReader) -> None:
    while data := await _read(stream):
        await socket.send_bytes(bytes([channel]) + data)


async def _read(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.read(32_768)
    except OSError as exc:
        if exc.errno == errno.EIO:
            return b""  # so a terminal ends whose last process has ended
        raise


def _outcome(code: int) -> Json:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code if code > 0 else 128 - code)}]},
    }
