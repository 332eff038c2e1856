"""What is remembered of an adopted table: where it is, which column is what, and what an audit proved of which rows.

One small file under `RAG_HOME/adopted`. No password is kept: `${VARIABLE}` in the URL is filled in when it is opened,
and PostgreSQL's own PGPASSWORD and password file hold too. Losing the file costs the next `corpora adopt`.
"""

import re
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from resources.adoption.postgres import open_postgres
from resources.adoption.qdrant import open_qdrant
from resources.adoption.table import ForeignTable
from resources.errors import AdoptionError, StoreError
from resources.settings import CORPUS_NAME, Settings, interpolate
from resources.store.files import write_atomically

FOLDER = "adopted"
AUDITS = "adopted-audits"


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
    """Open `postgresql://…`, `qdrant:FOLDER` or `qdrant+http://HOST:6333`, read-only."""
    whole = str(interpolate(url, "URL"))
    kind, _, rest = whole.partition(":")
    if kind in ("postgresql", "postgres"):
        return open_postgres(whole, table, collection)
    if kind == "qdrant":
        return open_qdrant(rest, collection or table)
    if kind in ("qdrant+http", "qdrant+https"):
        return open_qdrant(whole.removeprefix("qdrant+"), collection or table)
    raise AdoptionError(
        f"{without_password(url)}: a URL begins with postgresql://, qdrant:FOLDER, qdrant+http:// or qdrant+https://"
    )


def without_password(url: str) -> str:
    """Return the URL as it may be kept and shown; one that names a variable holds no secret."""
    parts = urlsplit(url)
    if parts.password is None or re.fullmatch(r"\$\{.*\}", parts.password):
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}@{parts.netloc.rpartition('@')[2]}"))


def adopted_names(settings: Settings) -> list[str]:
    """Return the names of the adopted tables, in order."""
    return sorted(one.stem for one in (settings.home / FOLDER).glob("*.json"))


def read_registration(settings: Settings, name: str) -> Registration | None:
    """Return what is remembered under a name, None when nothing is. Raises StoreError for a damaged file."""
    path = settings.home / FOLDER / f"{name}.json"
    try:
        return Registration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StoreError(f"{path} cannot be read ({str(error).splitlines()[0]}); adopt the table again") from error


def remember(settings: Settings, name: str, registration: Registration) -> None:
    """Write it down."""
    if not CORPUS_NAME.fullmatch(name):
        raise AdoptionError(f"{name}: a corpus name has letters, digits, - and _ only, at most 64; give --corpus NAME")
    folder = settings.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    kept = registration.model_copy(update={"url": without_password(registration.url)})
    write_atomically(folder / f"{name}.json", kept.model_dump_json(indent=1))
