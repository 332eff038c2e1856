"""The checks of the indexes: they hold exactly the table's chunks, their files are whole, chunks find themselves."""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from rag_assets.checks.shapes import Verdict, audit, ids_metadata
from resources.corpus import Corpus
from resources.reconciliation.indexes import IndexAudit, audit_index
from resources.store.writer import CorpusWriter


def _index(kind: str, corpus: Corpus, writer: CorpusWriter) -> Iterator[Verdict]:
    found: IndexAudit = audit_index(corpus, kind)
    yield Verdict("equals_table", not found.wrong, True, ids_metadata(found.wrong))
    yield Verdict("files_whole", not found.problems, True, {"problems": dg.MetadataValue.json(list(found.problems))})
    yield Verdict("self_query", not found.not_found, True, ids_metadata(found.not_found) | {"asked": found.asked})


CHECKS = {
    "equals_table": "The chunks indexed are the chunks of the table, no more and no fewer.",
    "files_whole": "Every file of the generation has the length and checksum its manifest records.",
    "self_query": "A sample of chunks, asked for by their own content, find themselves.",
}

audit_dense_index = audit("dense_index", CHECKS, partial(_index, "dense"))
audit_bm25_index = audit("bm25_index", CHECKS, partial(_index, "bm25"))
