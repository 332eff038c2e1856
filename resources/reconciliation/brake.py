"""The brake: removals that look like an accident are held until a person confirms them.

Pure. What was confirmed is remembered in `memory`; that an empty or unreachable source removes nothing is decided in
`diff` and by the source.
"""

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from resources.policy import BrakeSettings


def hold_removals(
    gone: Sequence[str], stored: pa.Table, *, brake: BrakeSettings, confirmed: Mapping[str, Collection[str]]
) -> tuple[list[str], dict[str, list[str]]]:
    """Split ids that are no longer listed into those to remove and those held, by source.

    `stored`: the documents there are (document_id, source). A source's removals are held when those that nobody
    confirmed are more than `brake.documents` and more than `brake.share` of what is stored of it.
    """
    if not gone:
        return [], {}
    table = stored.select(["document_id", "source"])
    rows = table.filter(pc.is_in(table["document_id"], pa.array(gone, pa.string())))
    by_source: dict[str, list[str]] = {}
    for document, source in zip(rows["document_id"].to_pylist(), rows["source"].to_pylist(), strict=True):
        if document not in confirmed.get(source, ()):
            by_source.setdefault(source, []).append(document)
    held = {}
    for source, documents in sorted(by_source.items()):
        of = pc.sum(pc.equal(stored["source"], source)).as_py()
        if len(documents) > brake.documents and len(documents) > brake.share * of:
            held[source] = sorted(documents)
    waiting = {one for documents in held.values() for one in documents}
    return [one for one in gone if one not in waiting], held
