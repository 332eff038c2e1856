"""What a run measured: kept as one small file, shown as a line or a table. Nothing is measured here."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

BENCHMARKS = (
    "start",
    "orchestration",
    "sensor_tick",
    "parsing",
    "tokens",
    "search",
    "million",
    "build",
    "upkeep",
    "sources",
    "stores",
)
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("dagster", "faiss-cpu", "pylance", "sentence-transformers", "tantivy", "torch")
PACKAGES += ("bm25s", "langchain-core", "llama-index-core")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")


def save(folder: Path, rows: Sequence[dict[str, Any]], *, full: bool) -> None:
    """Write what was measured, where, and with what, as one small file."""
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    commit = _git("rev-parse", "--short=10", "HEAD") + ("+" if _git("status", "--porcelain") else "")
    body = {
        "date": date,
        "commit": commit,
        "form": "full" if full else "quick",
        "machine": _machine(),
        "load": os.getloadavg(),
        "versions": {"python": platform.python_version(), **_installed()},
        "rows": rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{date.replace(':', '').replace('-', '')}-{body['form']}.json"
    (folder / name).write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _installed() -> dict[str, str]:
    """Return the versions of the packages that matter, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _machine() -> dict[str, Any]:
    import psutil

    found = {"cores": psutil.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30)}
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return found | {"cpu": platform.processor(), "flags": []}
    fields = dict(one.split(":", 1) for one in info.read_text("utf-8").split("\n\n")[0].splitlines() if ":" in one)
    about = {name.strip(): value.strip() for name, value in fields.items()}
    flags = set(about.get("flags", "").split())
    return found | {"cpu": about.get("model name", ""), "flags": [flag for flag in FLAGS if flag in flags]}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip()


def line(row: dict[str, Any]) -> str:
    """Return a row as one line of text."""
    parts = [f"{row['name']}: {_shown(row['ours'])} {row['unit']}".rstrip()]
    if row["ratio"]:
        parts.append(f"against {row['against']} {_shown(row['baseline'])} {row['unit']}: {_shown(row['ratio'])}×")
    if row["target"]:
        parts.append(f"target {row['target']}: {row['verdict']}")
    facts = ", ".join(f"{name} {value}" for name, value in row["facts"].items())
    return "; ".join([*parts, *([facts] if facts else []), *([row["profile"]] if row["profile"] else [])])


def _shown(values: Sequence[float]) -> str:
    """Return the median, and minimum and maximum where they differ from it."""
    low, middle, high = values
    return f"{middle:g}" if low == high else f"{middle:g} ({low:g} … {high:g})"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | ours | against | baseline | ratio | target | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        baseline = f"{_shown(row['baseline'])} {row['unit']}" if row["baseline"] else ""
        ratio = f"{_shown(row['ratio'])}×" if row["ratio"] else ""
        cells = [row["name"], f"{_shown(row['ours'])} {row['unit']}".rstrip(), row["against"], baseline, ratio]
        lines.append(f"| {' | '.join([*cells, row['target'], row['verdict']])} |")
    return "\n".join(lines)
