"""Reads ahead of the graph: several threads decode and check batches while the graph works on those before.

Arrow and NumPy let go of the GIL meanwhile. What is ahead is bounded in batches and in bytes. No thread ever waits for
the graph, so a reader that is closed early ends as soon as its threads have finished the batch that they are at.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Generic, TypeAlias, TypeVar

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beam_pcc.config.threads import cores, side_threads
from beam_pcc.shielding import shielded

_BYTES_OF_A_THREAD = 32 * 2**20  # of batches that are ahead, as the source has them

Handle = TypeVar("Handle")
Check = Callable[[pa.RecordBatch], Sequence[pa.RecordBatch]]
Read = Callable[[Handle], Iterator[pa.RecordBatch]]
_Result: TypeAlias = Sequence[pa.RecordBatch] | BaseException | None  # None at the end


def as_read(rows: pa.RecordBatch) -> Sequence[pa.RecordBatch]:
    """The check that changes nothing."""
    return (rows,)


class Cancellable(Iterator[pa.RecordBatch]):
    """Batches whose next one may be long in coming: another thread can end the wait for it by `cancel`."""

    def __init__(self, batches: Iterator[pa.RecordBatch], cancel: Callable[[], None]) -> None:
        self._batches = batches
        self.cancel = cancel

    def __next__(self) -> pa.RecordBatch:
        return next(self._batches)

    def close(self) -> None:
        """Release what reading holds, when no thread waits."""
        _close(self._batches)


def _close(batches: Iterator[pa.RecordBatch]) -> None:
    if (close := getattr(batches, "close", None)) is not None:
        close()


class ReadAhead:
    """Batches of several parts at once, of each part in their order. One batch of each part is ahead.

    Args:
        check: What is done with each batch in the same threads.
    """

    def __init__(self, check: Check) -> None:
        self._check = check
        self._threads = cores()
        self._exit = contextlib.ExitStack()
        self._pool = self._exit.enter_context(side_threads())
        self._lock = threading.Condition()
        self._results: SimpleQueue[tuple[Iterator[pa.RecordBatch], _Result]] = SimpleQueue()
        self._parts: list[Iterator[pa.RecordBatch]] = []
        self._running = 0
        self._closed = False
        self._batch_bytes = 1  # of the largest

    @property
    def is_full(self) -> bool:
        """Whether enough parts are being read: one for each thread, fewer of large batches."""
        room = self._threads * _BYTES_OF_A_THREAD // self._batch_bytes
        return len(self._parts) >= max(1, min(self._threads, room))

    @property
    def is_empty(self) -> bool:
        """Whether every batch was taken."""
        return not self._parts

    def add(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Begin to read another part."""
        self._parts.append(batches)
        self._pool.submit(self._step, batches)

    def take(self) -> Sequence[pa.RecordBatch]:
        """What the check made of the next batch; nothing at the end of a part.

        Raises:
            Exception: What reading or the check raised.
        """
        batches, result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        if result is None:
            self._parts.remove(batches)
            return ()
        self._pool.submit(self._step, batches)
        return result

    def close(self) -> None:
        """Give up what was not taken, and end when the threads have."""
        with self._lock:
            self._closed = True
            for batches in self._parts:
                if isinstance(batches, Cancellable):
                    batches.cancel()
            self._lock.wait_for(lambda: not self._running)
        try:
            for batches in self._parts:
                _close(batches)
            self._parts.clear()
        finally:
            self._exit.close()

    def _step(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Decode and check one batch of a part, in a thread."""
        with self._lock:
            if self._closed:
                return
            self._running += 1
        try:
            self._results.put((batches, self._next(batches)))
        except BaseException as error:
            self._results.put((batches, error))
        finally:
            with self._lock:
                self._running -= 1
                self._lock.notify_all()

    def _next(self, batches: Iterator[pa.RecordBatch]) -> Sequence[pa.RecordBatch] | None:
        batch = next(batches, None)
        if batch is None:
            return None
        self._batch_bytes = max(self._batch_bytes, batch.nbytes)
        return self._check(batch)


@shielded
class ReadParts(beam.DoFn, Generic[Handle]):
    """Handles -> RecordBatches, of several handles of a bundle at a time.

    Args:
        read: From a handle to its batches; called and iterated in threads.
        check: What is done with each batch in the same threads.
    """

    def __init__(self, read: Read[Handle], check: Check) -> None:
        self._read = read
        self._check = check
        self._ahead: ReadAhead | None = None

    def start_bundle(self) -> None:
        """Give up what a failed bundle left, and start the threads."""
        self.teardown()
        self._ahead = ReadAhead(self._check)

    def process(self, handle: Handle) -> Iterator[pa.RecordBatch]:
        """Begin to read a handle; pass on batches while enough handles are being read."""
        if (ahead := self._ahead) is not None:
            ahead.add(self._read(handle))
            while ahead.is_full:
                yield from ahead.take()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Pass on what is left."""
        window = GlobalWindow()
        while self._ahead is not None and not self._ahead.is_empty:
            for batch in self._ahead.take():
                yield WindowedValue(batch, window.max_timestamp(), [window])
        self.teardown()

    def teardown(self) -> None:
        """End the threads, also when the bundle failed."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.close()
