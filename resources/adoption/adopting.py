"""Adopting a table, and looking at one that was adopted. What of it is remembered: `registration`."""

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import pyarrow as pa

from resources.adoption.look import Look, look
from resources.adoption.proof import recognise
from resources.adoption.registration import Registration, audits_folder, remember
from resources.adoption.roles import map_roles
from resources.adoption.table import SCHEMA, ForeignTable, Roles
from resources.corpus import corpus_names
from resources.embedding.checkpoint import DEFAULT_MODEL
from resources.embedding.encoder import load_encoder
from resources.embedding.identity import model_identity
from resources.errors import AdoptionError
from resources.reconciliation.drift import Depth
from resources.reconciliation.memory import now
from resources.settings import CORPUS_NAME, Settings

FIRST_ROWS = 2000


def adopt(
    settings: Settings, name: str, wanted: Registration, said: Mapping[str, str], *, seed: int | None = None
) -> tuple[Registration, Look]:
    """Map the columns, find out the model, audit every row as deep as it goes, and remember all that under `name`.

    `wanted`: where the table is, and what a person knows of it; `said`: role → column. The foreign database is only
    read. Raises AdoptionError.
    """
    if not CORPUS_NAME.fullmatch(name):
        raise AdoptionError(f"{name}: a corpus name has letters, digits, - and _ only, at most 64; give --corpus NAME")
    if name in corpus_names(settings):
        raise AdoptionError(f"{name} is a corpus of our own; give another name: --corpus NAME")
    with closing(wanted.open()) as table:
        roles = map_roles(table.name, table.columns(), said)
        first = _first_rows(table, roles)
        dimension = table.dimension(roles) or _usual_dimension(table, roles, first)
        model, note = _model(wanted.model, first, dimension)
        documents = wanted.documents or table.documents(roles)
        found = look(
            table,
            roles,
            model=model,
            dimension=dimension,
            audits=audits_folder(settings),
            depth="reembed",
            documents=documents,
            seed=seed,
        )
    changes = {"roles": dict(roles), "documents": documents, "model": model, "dimension": dimension}
    adopted = wanted.model_copy(
        update={**changes, "proven": found.proven, "adopted": now().isoformat(timespec="seconds")}
    )
    remember(settings, name, adopted)
    return adopted, replace(found, notes=(note, *found.notes))


def look_again(settings: Settings, registration: Registration, depth: Depth) -> Look:
    """Look at an adopted table. Nothing is written, neither there nor here."""
    with closing(registration.open()) as table:
        return look(
            table,
            registration.roles,
            model=registration.model,
            dimension=registration.dimension,
            audits=audits_folder(settings),
            depth=depth,
            documents=registration.documents,
            proven=registration.proven,
        )


def _first_rows(table: ForeignTable, roles: Roles) -> pa.RecordBatch:
    batches = table.scan(roles, FIRST_ROWS)
    for batch in batches:
        batches.close()  # type: ignore[attr-defined]  # a generator, which holds a cursor
        return batch
    return pa.RecordBatch.from_pylist([], schema=SCHEMA)


def _usual_dimension(table: ForeignTable, roles: Roles, first: pa.RecordBatch) -> int:
    lengths = Counter(len(one) for one in first.column("vector") if one.is_valid and len(one))
    if not lengths:
        raise AdoptionError(
            f"{table.name}: none of the first {first.num_rows} rows has a vector in {roles['vector']}; if another "
            "column holds them: --map vector=COLUMN"
        )
    return lengths.most_common(1)[0][0]


def _model(said: str | None, first: pa.RecordBatch, dimension: int) -> tuple[str | None, str]:
    """Return the model's name, if it is known, and how."""
    if said is not None:
        size = model_identity(said).dimension
        if size != dimension:
            raise AdoptionError(f"--model {said} makes vectors of {size} numbers, and the table's have {dimension}")
        return said, f"model: {said}, as you said"
    if model_identity(DEFAULT_MODEL).dimension != dimension:
        return None, f"model: not {DEFAULT_MODEL}, by the dimension ({dimension})"
    tried = recognise(first, load_encoder(DEFAULT_MODEL))
    seen = f"{tried.same} of {tried.tried} rows that were embedded again have the same vector"
    if tried.is_sure:
        return DEFAULT_MODEL, f"model: {DEFAULT_MODEL} ({seen})"
    return None, f"model: not {DEFAULT_MODEL}, as far as can be told ({seen}; middle cosine {tried.median:.2f})"
