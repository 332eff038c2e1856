"""Log lines: structured, on standard error, each with the correlation id of the run or command it belongs to.

Readable on a terminal, one JSON object a line elsewhere. What libraries log goes the same way. Not here: progress.
"""

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

import structlog

T = TypeVar("T")
OURS = ("resources", "rag_assets", "sensors")
_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure_logging(level: int = logging.INFO) -> None:
    """Send our log lines and those of libraries (from warnings up) to standard error in one format."""
    renderer: Any = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith(OURS))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for ours in OURS:
        logging.getLogger(ours).setLevel(level)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


@contextmanager
def correlated(correlation_id: str, **more: str) -> Iterator[None]:
    """Give every log line within the block this correlation id, and whatever else identifies the work."""
    with structlog.contextvars.bound_contextvars(correlation_id=correlation_id, **more):
        yield


def in_this_context(items: Iterable[T]) -> Iterator[T]:
    """Return the items, made under the caller's correlation id in whichever thread they are asked for."""
    context = copy_context()
    source = iter(items)

    def produce() -> Iterator[T]:
        nothing: Any = object()
        while (item := context.run(next, source, nothing)) is not nothing:
            yield item

    return produce()
