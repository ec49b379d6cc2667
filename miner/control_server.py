"""The control socket's other side: a running miner answers its commands."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from loguru import logger

from miner.control import Command, ControlError, DataFolder, encode, short_path

LINE_BYTES = 64 * 1024
READ_S, COMMAND_S = 5.0, 30.0
CLIENTS = 32


class ControlServer:
    """Answers commands on a unix socket that only its owner may open.

    `path` of the socket. Its folder is held from `hold` (to be called before anything there is opened) or
    `start` until `stop`; a socket file found there is a leftover.
    `commands` name -> async function; may be filled until `start`.
    """

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self.path = Path(path)
        self._commands = commands
        self._folder = DataFolder(self.path.parent)
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    def hold(self) -> None:
        """Keep other miners off the folder. Raises DataFolderBusy, or OSError when it cannot be made."""
        self._folder.hold()

    async def start(self) -> None:
        """Raises DataFolderBusy, or OSError when the socket cannot be made."""
        self.hold()
        try:
            self._server = await asyncio.start_unix_server(
                self._client, sock=_listening(self.path), limit=LINE_BYTES, backlog=CLIENTS
            )
        except BaseException:
            self._folder.release()
            raise

    async def stop(self) -> None:
        """Close the socket, cut off whoever is connected, release the folder. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            for client in tuple(self._clients):
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
            self.path.unlink(missing_ok=True)
        self._folder.release()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            while len(self._clients) <= CLIENTS and (line := await _line(reader)):
                writer.write(await self._reply(line))
                await asyncio.wait_for(writer.drain(), READ_S)
        except (OSError, TimeoutError, asyncio.CancelledError):
            logger.debug("a control client left early")
        finally:
            self._clients.discard(task)
            writer.close()

    async def _reply(self, line: bytes) -> bytes:
        try:
            return encode({"ok": True, "result": await self._run(line)})
        except (ControlError, ValueError) as error:
            answer = {"ok": False, "error": str(error)}
        except TimeoutError:
            answer = {"ok": False, "error": f"the command took longer than {COMMAND_S:g} s"}
        except Exception:  # noqa: BLE001 - the edge of one command: it must not take the miner down
            logger.opt(exception=True).error("a control command failed")
            answer = {"ok": False, "error": "the command failed; the miner's log says why"}
        return encode(answer)

    async def _run(self, line: bytes) -> Any:
        command, args = _parse(line)
        if command not in self._commands:
            raise ControlError(f"no command {command[:40]!r}; there is {', '.join(sorted(self._commands))}")
        run = self._commands[command]
        try:
            inspect.signature(run).bind(**args)
        except TypeError as error:
            raise ControlError(f"{command}: {error}") from error
        return await asyncio.wait_for(run(**args), COMMAND_S)


def _parse(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ControlError("a request is one JSON object on one line") from error
    command, args = (
        (request.get("command"), request.get("args", {})) if isinstance(request, dict) else (None, {})
    )
    if not isinstance(command, str) or not isinstance(args, dict):
        raise ControlError('a request looks like {"command": "status", "args": {}}')
    return command, args


async def _line(reader: asyncio.StreamReader) -> bytes:
    """One line, or nothing when the client has left, dawdles or sends more than a line may hold."""
    try:
        return await asyncio.wait_for(reader.readline(), READ_S)
    except ValueError:  # what StreamReader raises for a line over its limit
        return b""


def _listening(path: Path) -> socket.socket:
    """A socket file that is never, not even for a moment, open to others. The caller holds the folder."""
    _remove_leftover(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(server.fileno(), 0o600)
        with short_path(path) as address:
            server.bind(address)
        path.chmod(0o600)
        server.setblocking(False)
    except BaseException:
        server.close()
        raise
    return server


def _remove_leftover(path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(
                f"{path} is in the way of the control socket and is no socket: move it away"
            )
        path.unlink()
