"""The Celery application: the same few tasks, in this process or on workers."""

from __future__ import annotations

from celery import Celery

QUEUE = "vanishpoint.capture"
EMBEDDED_BROKER = "memory://"
EMBEDDED_RESULTS = "cache+memory://"
VISIBILITY_S = 7_200
"""Longer than any step, or Redis would hand a running step to a second worker."""


def make_app(broker: str | None) -> Celery:
    """Return an application for *broker*, None for this process alone."""
    app = Celery(
        "vanishpoint", broker=broker or EMBEDDED_BROKER, backend=broker or EMBEDDED_RESULTS, set_as_current=True
    )
    options = {"polling_interval": 0.02} if broker is None else {
        "global_keyprefix": "vp:", "visibility_timeout": VISIBILITY_S, "socket_timeout": 30, "socket_keepalive": True,
        "socket_connect_timeout": 5,
    }  # fmt: skip
    app.conf.update(
        accept_content=["json"], task_serializer="json", result_serializer="json", event_serializer="json",
        task_acks_late=False, worker_prefetch_multiplier=1, task_default_queue=QUEUE, task_track_started=False,
        broker_transport_options=options, broker_connection_retry_on_startup=True, broker_connection_max_retries=3,
        result_expires=86_400, worker_hijack_root_logger=False, worker_send_task_events=False, enable_utc=True,
        redis_socket_timeout=30, visibility_timeout=VISIBILITY_S,
        result_backend_transport_options={} if broker is None else {
            "global_keyprefix": "vpr:", "visibility_timeout": VISIBILITY_S, "retry_policy": {"timeout": 5.0},
        },
    )  # fmt: skip
    return app
