"""An application's startup and shutdown: the lifespan protocol of ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any, Literal

from projctl_runtime.failure import RunnerError, reason

if TYPE_CHECKING:
    from projctl_runtime.application import ASGIApplication, Message

Mode = Literal["auto", "on", "off"]


class Lifespan:
    """One application's lifespan; `state` is what it leaves for its requests to find."""

    def __init__(self, application: ASGIApplication, name: str, mode: Mode) -> None:
        self.state: dict[str, Any] = {}
        self._application = application
        self._name = name
        self._mode = mode
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._heard = False
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Wait until the application has started; raises RunnerError when it says that it has failed.

        One that takes no part in the protocol is served as it is, unless the mode is `on`.
        """
        if self._mode == "off":
            return
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        call = self._application(scope, self._receive, self._send)
        self._task = asyncio.ensure_future(call)
        answer = await self._ask("startup")
        if answer is None:
            self._check_absence()
        elif answer["type"] == "lifespan.startup.failed":
            await self._settle()
            raise RunnerError(f'cannot start "{self._name}": {_last_line(answer.get("message", ""))}')

    async def shutdown(self, seconds: float) -> str | None:
        """Tell the application to end and wait for it; what went wrong, if anything."""
        if self._task is None or self._task.done():
            return None
        try:
            async with asyncio.timeout(max(seconds, 0.1)):
                answer = await self._ask("shutdown")
                await self._settle()
        except TimeoutError:
            self._task.cancel()
            return f'"{self._name}" did not shut down in time'
        if answer and answer["type"] == "lifespan.shutdown.failed":
            return f'"{self._name}" failed to shut down: {_last_line(answer.get("message", ""))}'
        if not self._task.cancelled() and (error := self._task.exception()):
            return f'"{self._name}" failed to shut down: {reason(error)}'
        return None

    async def _ask(self, what: str) -> Message | None:
        """The application's answer; None when it ended without one."""
        assert self._task is not None  # noqa: S101 - narrows the type
        self._asked.put_nowait({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._answers.get())
        try:
            await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            # It may have answered and ended in one go.
            return None if self._answers.empty() else self._answers.get_nowait()
        finally:
            answer.cancel()

    async def _settle(self) -> None:
        assert self._task is not None  # noqa: S101 - narrows the type
        await asyncio.wait({self._task}, timeout=1)

    def _check_absence(self) -> None:
        assert self._task is not None  # noqa: S101 - narrows the type
        error = None if self._task.cancelled() else self._task.exception()
        told = reason(error) if error else "it returned at once"
        if self._mode == "on":
            raise RunnerError(f'cannot start "{self._name}": {told}') from error
        if error and self._heard:
            # The specification has such an application served all the same; but nobody should wonder.
            print(f'projctl-serve: "{self._name}" takes no part in startup ({told})', file=sys.stderr)  # noqa: T201

    async def _receive(self) -> Message:
        self._heard = True
        return await self._asked.get()

    async def _send(self, message: Message) -> None:
        if not str(message.get("type", "")).startswith("lifespan."):
            raise RuntimeError(f"cannot send {message.get('type')!r} in a lifespan")
        with contextlib.suppress(asyncio.QueueFull):
            self._answers.put_nowait(message)


def _last_line(text: str) -> str:
    """The last line of a traceback is what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "its startup failed without a message"
