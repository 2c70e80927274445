"""A few worker threads and a bounded queue; jobs of a client that has disconnected are dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")


class Busy(Exception):
    """The queue is full: the client is told to try again."""


class Work:
    """Runs functions on `threads` threads for at most `active` requests at once; `waiting` more may wait."""

    def __init__(self, threads: int = 2, active: int = 2, waiting: int = 14) -> None:
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="page")
        self.most = active + waiting
        self.present = 0
        self._turn = asyncio.Semaphore(active)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn; raises `Busy` if too many wait already."""
        if self.present >= self.most:
            raise Busy
        self.present += 1
        try:
            async with self._turn:
                yield
        finally:
            self.present -= 1

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run one function on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)

    async def each(self, jobs: list[Callable[[], Result]]) -> AsyncIterator[Result]:
        """Yield the results of jobs as they come. If the caller stops, jobs that have not begun are dropped."""
        loop = asyncio.get_running_loop()
        tasks = [loop.run_in_executor(self.pool, job) for job in jobs]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            for task in tasks:
                task.cancel()

    def close(self) -> None:
        """Let running jobs finish and drop waiting ones."""
        self.pool.shutdown(wait=False, cancel_futures=True)
