"""100,000 rows: read through a server-side cursor, in memory that does not grow with the vectors."""

import json
import struct
import subprocess
import sys

import numpy as np
import psycopg
import pytest

ROWS = 100_000
DIMENSION = 384
LOOK = """
import json, resource, sys, time
from pathlib import Path
from resources.adoption.look import look
from resources.adoption.registration import open_foreign

table = open_foreign(sys.argv[1], sys.argv[2])
roles = {"key": "id", "document": "doc_id", "text": "content", "vector": "embedding"}
started = time.perf_counter()
found = look(table, roles, model="all-MiniLM-L6-v2", dimension=384, audits=Path("."), depth="scan")
table.close()
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
ids = {one.type: one.ids for one in found.issues}
print(json.dumps({"rows": found.rows, "ids": ids, "seconds": time.perf_counter() - started,
                  "megabytes": int(peak.split()[1]) / 1024}))
"""


@pytest.fixture
def large(postgres):
    """A table of seeded vectors of unit length; every ten-thousandth is zero."""
    draw = np.random.default_rng(3)
    with psycopg.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS large CASCADE")
        cursor.execute(f"CREATE TABLE large (id bigint, doc_id text, content text, embedding vector({DIMENSION}))")
        with cursor.copy("COPY large FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for start in range(0, ROWS, 1000):
                vectors = draw.standard_normal((1000, DIMENSION)).astype(np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                vectors[0] *= start % 10_000 != 0
                copy.write(b"".join(binary_row(start + at, one) for at, one in enumerate(vectors)))
            copy.write(struct.pack(">h", -1))
        cursor.execute("ALTER TABLE large ADD PRIMARY KEY (id)")
        cursor.execute("CREATE VIEW tenth AS SELECT * FROM large WHERE id < %s" % (ROWS // 10))
    yield postgres
    with psycopg.connect(postgres) as connection:
        connection.execute("DROP TABLE large CASCADE")


def binary_row(number, vector):
    """Return a row in PostgreSQL's binary COPY format."""
    fields = [
        struct.pack(">q", number),
        f"document {number // 10}".encode(),
        f"passage {number} of a large table".encode() * 10,
        struct.pack(">hh", DIMENSION, 0) + vector.astype(">f4").tobytes(),
    ]
    return struct.pack(">h", len(fields)) + b"".join(struct.pack(">i", len(one)) + one for one in fields)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_vectors(large, tmp_path):
    def look(table):
        command = [sys.executable, "-c", LOOK, large, table]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    small, whole = look("tenth"), look("large")
    assert small["rows"] == ROWS // 10 and whole["rows"] == ROWS
    assert whole["ids"] == {"zero_vectors": sorted(str(one) for one in range(0, ROWS, 10_000))}
    # The vectors alone are 154 MB, of which nine tenths come on top.
    assert whole["megabytes"] - small["megabytes"] < 40
