"""What a corpus remembers of `ensure`: the sources that replace those of `rag.yaml`, and how many documents are wanted.

Kept in the corpus's folder under RAG_HOME, never in `rag.yaml`. Losing it costs a flag on the next command.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from resources.errors import StoreError
from resources.store.files import write_atomically

NAME = "target.json"


class Target(BaseModel):
    """`sources`: None keeps those of `rag.yaml`; `documents`: the first N ids in order, None for all."""

    model_config = ConfigDict(frozen=True)

    sources: tuple[dict[str, Any], ...] | None = None
    documents: int | None = None


def read_target(folder: Path) -> Target:
    """Return what the corpus in `folder` remembers; an empty target when it remembers nothing."""
    try:
        return Target.model_validate_json((folder / NAME).read_bytes())
    except FileNotFoundError:
        return Target()
    except (OSError, ValidationError) as error:
        raise StoreError(
            f"{folder / NAME} cannot be read ({str(error).splitlines()[0]}); delete it and run `rag-assets "
            "ensure` again"
        ) from error


def remember_target(folder: Path, target: Target) -> None:
    """Write down the target of the corpus in `folder`."""
    write_atomically(folder / NAME, target.model_dump_json(indent=1).encode())
