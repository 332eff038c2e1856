"""A process that parses: reads documents from its one socket, answers with what became of them, and can do no more.

Started by `pool` as `python -m resources.parsing.worker`. Messages are JSON and bytes, never pickles: what a parser
that was taken over answers can be wrong, but is not run. Not here: when a worker is started, stopped or replaced.
"""

import contextlib
import dataclasses
import json
import os
import sys
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from resources.parsing.base import JSON, Failure, ParsedDocument, RawDocument, Status
from resources.parsing.confinement import allow_seconds, confine, limit, resident_memory
from resources.parsing.reading import parse
from resources.parsing.settings import ParsingSettings

OUT_OF_MEMORY = 77
SCRATCH_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a worker found out about a document; the rest of a ParsedDocument the parent knows."""

    status: Status
    title: str | None
    reason: str | None
    metadata: dict[str, JSON]
    media_type: str
    failure: Failure | None
    resident_bytes: int


def send_document(connection: Connection, raw: RawDocument) -> None:
    """Send a document as two messages; BrokenPipeError when the worker is gone."""
    about = {"media_type": raw.media_type, "title": raw.title, "metadata": raw.metadata}
    connection.send_bytes(json.dumps(about).encode())
    connection.send_bytes(raw.data)


def receive_answer(connection: Connection, most_bytes: int) -> tuple[Answer, str]:
    """Return the answer and the text; EOFError or OSError when the worker is gone or says too much, ValueError for
    anything else than an answer.
    """
    answer = Answer(**json.loads(connection.recv_bytes(most_bytes)))
    return answer, connection.recv_bytes(most_bytes).decode("utf-8")


def _send_answer(connection: Connection, parsed: ParsedDocument) -> None:
    answer = Answer(
        parsed.status,
        parsed.title,
        parsed.reason,
        parsed.metadata,
        parsed.media_type,
        parsed.failure,
        resident_memory(),
    )
    text = parsed.text.encode("utf-8")
    connection.send_bytes(json.dumps(dataclasses.asdict(answer)).encode())
    connection.send_bytes(text)


def _serve(connection: Connection) -> None:
    start: dict[str, Any] = json.loads(connection.recv_bytes())
    settings = ParsingSettings.model_validate(start["settings"])
    import_module("resources.parsing")
    for module in start["modules"]:
        import_module(module)
    needs_programs = settings.ocr is not None
    _silence()
    limit(settings.memory_mb << 20, SCRATCH_BYTES if needs_programs else 0)
    confined = confine(programs=needs_programs)
    connection.send_bytes(json.dumps({"confined": confined}).encode())
    while True:
        about = json.loads(connection.recv_bytes())
        allow_seconds(settings.seconds)
        try:
            data = connection.recv_bytes()
            parsed = parse(RawDocument("", "", about["media_type"], data, about["title"], about["metadata"]), settings)
            del data
            _send_answer(connection, parsed)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)


def _silence() -> None:
    """Libraries complain on standard output and error about damaged files; the outcome says what matters."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def main() -> None:
    """Serve the socket whose descriptor is the first argument until it is closed."""
    connection = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(connection)


if __name__ == "__main__":
    main()
