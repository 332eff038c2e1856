"""Bad rows are kept out, by id and with a reason, and the rest goes on. A row that is good again leaves by itself."""

import pyarrow as pa
import pyarrow.compute as pc

from resources.expectations.tables import Contract
from resources.store.tables import QUARANTINE
from resources.store.writer import CorpusWriter


def quarantine(writer: CorpusWriter, contract: Contract) -> int:
    """Make the bad rows of a contract the quarantined rows of its table; return how many there are."""
    rows = [
        {"row_id": f"{contract.table}/{one}", "table": contract.table, "id": one, "reason": reason}
        for one, reason in sorted(contract.bad.items())
    ]
    stored = writer.store.rows(QUARANTINE, ("row_id", "table", "reason"))
    ours = stored.filter(pc.equal(stored["table"], contract.table))
    before = dict(zip(ours["row_id"].to_pylist(), ours["reason"].to_pylist(), strict=True))
    if before != {row["row_id"]: row["reason"] for row in rows}:
        writer.replace(
            QUARANTINE, pa.Table.from_pylist(rows, schema=QUARANTINE.schema), column="table", values=[contract.table]
        )
    return len(rows)
