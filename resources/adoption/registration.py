"""What is remembered of an adopted table: where it is, which column is what, and what an audit proved of which rows.

One small file under `RAG_HOME/adopted`. No password is kept: `${VARIABLE}` in the URL is filled in when it is opened,
and PostgreSQL's own PGPASSWORD and password file hold too. Losing the file costs the next `corpora adopt`.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from resources.adoption.iris import open_iris
from resources.adoption.postgres import open_postgres
from resources.adoption.qdrant import open_qdrant
from resources.adoption.table import ForeignTable
from resources.corpus import ADOPTED
from resources.errors import AdoptionError, StoreError
from resources.settings import CORPUS_NAME, Settings, interpolate
from resources.store.files import LocalFiles

SUFFIX = ".json"


class Registration(BaseModel):
    """`roles`: role → column, `documents`: `TABLE.COLUMN`, `proven`: drift type → key → digest of the row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    table: str | None = None
    collection: str | None = None
    roles: dict[str, str] = {}
    documents: str | None = None
    model: str | None = None
    dimension: int = 0
    adopted: str = ""
    proven: dict[str, dict[str, str]] = {}

    def open(self) -> ForeignTable:
        """Open the table, read-only. Raises AdoptionError."""
        return open_foreign(self.url, self.table, self.collection)


def open_foreign(url: str, table: str | None = None, collection: str | None = None) -> ForeignTable:
    """Open `postgresql://…`, `qdrant:FOLDER`, `qdrant+http://HOST:6333` or `iris://HOST:1972/NAMESPACE`."""
    whole = str(interpolate(url, "URL"))
    kind, _, rest = whole.partition(":")
    if kind in ("postgresql", "postgres"):
        return open_postgres(whole, table, collection)
    if kind == "qdrant":
        return open_qdrant(rest, collection or table)
    if kind in ("qdrant+http", "qdrant+https"):
        return open_qdrant(whole.removeprefix("qdrant+"), collection or table)
    if kind == "iris":
        return open_iris(whole, table)
    raise AdoptionError(
        f"{without_password(url)}: a URL begins with postgresql://, qdrant:FOLDER, qdrant+http://, qdrant+https:// or "
        "iris://"
    )


def without_password(url: str) -> str:
    """Return the URL as it may be kept and shown; one that names a variable holds no secret."""
    parts = urlsplit(url)
    if parts.password is None or re.fullmatch(r"\$\{.*\}", parts.password):
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}@{parts.netloc.rpartition('@')[2]}"))


def adopted_names(settings: Settings) -> list[str]:
    """Return the names of the adopted tables, in order."""
    return sorted(name.removesuffix(SUFFIX) for name in _files(settings).list() if name.endswith(SUFFIX))


def read_registration(settings: Settings, name: str) -> Registration | None:
    """Return what is remembered under a name, None when nothing is. Raises StoreError for a damaged file."""
    files = _files(settings)
    try:
        return Registration.model_validate_json(files.read(name + SUFFIX)) if CORPUS_NAME.fullmatch(name) else None
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StoreError(
            f"{files.where(name + SUFFIX)} is damaged ({str(error).splitlines()[0]}); adopt the table again"
        ) from error


def remember(settings: Settings, name: str, registration: Registration) -> None:
    """Write it down."""
    kept = registration.model_copy(update={"url": without_password(registration.url)})
    _files(settings).write(name + SUFFIX, kept.model_dump_json(indent=1).encode())


def audits_folder(settings: Settings) -> Path:
    """Return where calibrations of the models of adopted tables are kept."""
    return settings.home / ADOPTED / "audits"


def _files(settings: Settings) -> LocalFiles:
    return LocalFiles(settings.home / ADOPTED)
