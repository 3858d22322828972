"""Runners: the tasks inside this process, or on workers behind Redis. Same tasks, same outcomes."""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from orchestrator.capture.runner import Call, Outcome, failure
from orchestrator.capture.steps import Site
from orchestrator.errors import CaptureFailedError
from orchestrator.tasks.app import QUEUE, make_app
from orchestrator.tasks.tasks import VERSION, register, task_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celery import Celery

    from orchestrator.capture.store import RunStore

TICK_S = 0.01
WORKER_ANSWER_S = 5.0
ENOUGH_THREADS = 64
"""More than points of any playbook seen; a step that waits for a host must not keep others waiting."""


class CeleryRunner:
    """Sends steps to a queue and awaits their results."""

    name = "redis"

    def __init__(self, app: Celery) -> None:
        self.app = app

    def gather(
        self, calls: Sequence[Call], timeout_s: float, give_up: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Call, Outcome]]:
        """Start all *calls* at once; yield each with its outcome as it ends."""
        waiting: list[tuple[Call, Any]] = [(call, self._send(call)) for call in calls]
        end = time.monotonic() + timeout_s
        while waiting and time.monotonic() < end and not give_up():
            done = [(call, result) for call, result in waiting if result.ready()]
            for call, result in done:
                yield call, _outcome(call, result)
            finished = {id(result) for _, result in done}
            waiting = [(c, r) for c, r in waiting if id(r) not in finished]
            if waiting:
                time.sleep(TICK_S)
        for call, result in waiting:
            result.forget()
            yield (
                call,
                failure("no-answer", f"{call.point}: {call.step} got no answer in time", "Look at the worker's log."),
            )

    def _send(self, call: Call) -> Any:  # noqa: ANN401 - Celery is untyped
        arguments = (VERSION, call.run_id, call.point, dict(call.numbers))
        return self.app.send_task(task_name(call.step), args=arguments, queue=QUEUE)

    def close(self) -> None:
        """Close connections to the broker."""
        self.app.close()


class EmbeddedRunner(CeleryRunner):
    """A Celery worker as a thread of this process, with the in-memory broker."""

    name = "embedded"

    def __init__(self, store: RunStore) -> None:
        from celery._state import _set_task_join_will_block  # noqa: PLC0415 - no public name does this
        from celery.worker import WorkController  # noqa: PLC0415

        super().__init__(make_app(None))
        self.site = Site(store)
        register(self.app, self.site)
        self.app.finalize()
        self.app.set_current()
        self.app.set_default()  # without it results stay pending for ever (LAB §5)
        logging.getLogger("celery").setLevel(logging.ERROR)
        self._worker = WorkController(
            app=self.app, hostname="embedded@localhost", pool="threads", concurrency=ENOUGH_THREADS, loglevel="ERROR",
            queues=[QUEUE], without_gossip=True, without_mingle=True, without_heartbeat=True,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._worker.start, name="celery-worker", daemon=True)
        self._thread.start()
        _set_task_join_will_block(False)  # noqa: FBT003

    def close(self) -> None:
        """Stop the worker and close its connections to hosts."""
        self._worker.stop()
        self._thread.join(10)
        self.site.close()
        super().close()


def connect_redis(broker: str) -> CeleryRunner:
    """Return a runner for workers behind *broker*.

    Raises:
        CaptureFailedError: The broker, or any worker on it, does not answer.
    """
    app = make_app(broker)
    register(app, None)
    if not _answers(app, broker):
        hint = f"Start one that sees the same runs: vanishpoint worker --broker {_shown(broker)} --runs DIR"
        msg = f"{_shown(broker)}: no worker answers"
        raise CaptureFailedError(msg, hint=hint)
    return CeleryRunner(app)


def check_worker(broker: str, name: str | None) -> None:
    """Make sure that the worker *name* answers, None for the one of this machine.

    Raises:
        CaptureFailedError: The broker, or this worker, does not answer.
    """
    with make_app(broker) as app:
        if not _answers(app, broker, node_name(name)):
            msg = f"{_shown(broker)}: {node_name(name)} does not answer"
            raise CaptureFailedError(msg, hint="Look at the worker's log, and start it again.")


def node_name(name: str | None) -> str:
    """Return what a worker is called on the queue."""
    return f"vanishpoint@{name or socket.gethostname()}"


def _answers(app: Celery, broker: str, node: str | None = None) -> bool:
    """Say whether *node* answers, None for any worker."""
    wanted = None if node is None else [node]
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=WORKER_ANSWER_S)
        ping = app.control.ping
        return bool(ping(wanted, timeout=1.0) or ping(wanted, timeout=WORKER_ANSWER_S))
    except Exception as error:  # kombu raises what its transport does; all of it means the same here
        hint = "Start Redis and check the URL, or leave --broker out to run in this process."
        msg = f"{_shown(broker)}: {error}"
        raise CaptureFailedError(msg, hint=hint) from error


def _shown(broker: str) -> str:
    """Return the URL without a password."""
    scheme, _, rest = broker.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _outcome(call: Call, result: Any) -> Outcome:  # noqa: ANN401 - Celery is untyped
    """Return the outcome of a finished task; a task that raised is our bug, and the point's failure."""
    value = result.result
    result.forget()
    if isinstance(value, dict) and "ok" in value:
        return value
    return failure("bug", f"{call.point}: {call.step} failed: {value!r}"[:500], "This is a bug; please report it.")


def serve(broker: str, store: RunStore, threads: int, name: str | None = None) -> int:
    """Serve the queue as *name* until told to stop; return the exit code."""
    app = make_app(broker)
    site = Site(store)
    register(app, site)
    app.finalize()
    worker = app.Worker(
        hostname=node_name(name), pool="threads", concurrency=threads, loglevel="INFO", queues=[QUEUE],
        without_gossip=True, without_mingle=True,
    )  # fmt: skip
    worker.start()
    site.close()
    return int(worker.exitcode or 0)
