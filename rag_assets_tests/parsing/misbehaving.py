"""Parsers that do what a parser that was taken over, or is broken, might do. Registered for types of their own."""

import ctypes
import os
import socket
import subprocess
import time
from pathlib import Path

from resources.parsing.base import Content, HostileError
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings


def _attempt(what) -> str:
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "it worked"


@parser("application/x-test", version=1)
def misbehave(data: bytes, settings: ParsingSettings) -> Content:
    """Do what the document says."""
    match data.lstrip(b"\0").decode():
        case "spin":
            while True:
                pass
        case "sleep":
            time.sleep(60)
        case "eat":
            hoard = [bytearray(50 << 20) for _ in range(100)]
            return Content(f"{len(hoard)}")
        case "crash":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "raise":
            raise AttributeError("a\nbug")
        case "hostile":
            raise HostileError("a bomb")
        case "who":
            return Content(str(os.getpid()))
        case "talk":
            print("noise on standard output")
            return Content("quiet")
        case "reach":
            file = Path("/tmp/escaped")
            return Content(
                "; ".join(
                    (
                        _attempt(lambda: socket.create_connection(("127.0.0.1", 9))),
                        _attempt(lambda: file.write_text("x")),
                        _attempt(lambda: Path(__file__).unlink()),
                        _attempt(lambda: subprocess.run(["true"], check=True)),
                        _attempt(lambda: os.kill(os.getppid(), 0)),
                        str(sorted(name for name in os.environ if "SECRET" in name)),
                    )
                )
            )
        case text:
            return Content(text)
    return Content("")
