"""Plant bugs in the IRIS store, one at a time, and see whether the stores' tests catch them.

    python -m rag_assets_tests.iris_double.mutate [NAME…]

Each runs on a copy of the project. What is printed is the table in docs/stores.md; exit 1 when one survives.
"""
# ruff: noqa: E501  # a mutant a line

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = [
    "rag_assets_tests/store/contract",
    "rag_assets_tests/store/test_iris_store.py",
    "rag_assets_tests/store/test_files.py",
]


@dataclass(frozen=True)
class Mutant:
    """`old`, which must be there once or more, becomes `new` in a module of the store."""

    name: str
    module: str
    old: str
    new: str


MUTANTS = [
    Mutant("keys fold case (SQLUPPER)", "sql", '_KEY = f"VARCHAR({KEY_BYTES}) COLLATE %EXACT"', '_KEY = f"VARCHAR({KEY_BYTES})"'),
    Mutant("VARCHAR without a length", "sql", '"VARCHAR(250000) COLLATE %EXACT"', '"VARCHAR COLLATE %EXACT"'),
    Mutant("texts as VARCHAR", "sql", '_TEXT = "LONGVARCHAR"', '_TEXT = "VARCHAR(4000) COLLATE %EXACT"'),
    Mutant("64-bit numbers as INTEGER", "sql", 'pa.int64(): "BIGINT"', 'pa.int64(): "INTEGER"'),
    Mutant("a reserved word as a name", "sql", '"end": "end_offset", "text"', '"text"'),
    Mutant("another reserved word", "sql", '{"table": "table_name", "id": "item_id"}', '{"id": "item_id"}'),
    Mutant("TO_VECTOR with a length", "sql", '"TO_VECTOR(?, FLOAT)"', '"TO_VECTOR(?, FLOAT, 8)"'),
    Mutant("TO_VECTOR with a quoted type", "sql", '"TO_VECTOR(?, FLOAT)"', "\"TO_VECTOR(?, 'FLOAT')\""),
    Mutant("plain INSERT", "sql", 'f"INSERT OR UPDATE INTO {self.name}', 'f"INSERT INTO {self.name}'),
    Mutant("ON CONFLICT", "sql", 'VALUES ({values})"', 'VALUES ({values}) ON CONFLICT DO NOTHING"'),
    Mutant("TOP as a parameter", "sql", "SELECT TOP {rows} {self._some(columns)}, valid_from FROM {self.name}", "SELECT TOP ? {self._some(columns)}, valid_from FROM {self.name}"),
    Mutant("LIMIT", "sql", '{above} ORDER BY {self.key}"', '{above} ORDER BY {self.key} LIMIT {rows}"'),
    Mutant("more than 500 parameters", "sql", "IN_SIZES = (1, 8, 64, 500)", "IN_SIZES = (1, 8, 64, 501)"),
    Mutant("IF NOT EXISTS", "sql", 'f"CREATE TABLE {self.name} (', 'f"CREATE TABLE IF NOT EXISTS {self.name} ('),
    Mutant("pages without an order", "sql", '{above} ORDER BY {self.key}"', '{above} ORDER BY {self.key} DESC"'),
    Mutant("a page begins with the last row again", "sql", 'f" WHERE {self.key} > ?" if after', 'f" WHERE {self.key} >= ?" if after'),
    Mutant("history ends one version late", "sql", "valid_from <= ? AND valid_to > ?{bounds}", "valid_from <= ? AND valid_to >= ?{bounds}"),
    Mutant("history begins one version late", "sql", "valid_from <= ? AND valid_to > ? AND {self.of_keys", "valid_from < ? AND valid_to > ? AND {self.of_keys"),
    Mutant("history ignores the end of the range", "sql", 'f" AND {self.key} <= ?" * until', '" AND ? IS NOT NULL" * until'),
    Mutant("replace deletes the new rows too", "sql", "= ? AND valid_from < ?", "= ? AND valid_from <= ?"),
    Mutant("forgetting takes what is kept", "sql", '" AND (valid_from > ? OR valid_to <= ?)" * kept', '" AND (valid_from > ? OR valid_to > 0 OR valid_to <= ?)" * kept'),
    Mutant("autocommit", "connection", "autoCommit=False", "autoCommit=True"),
    Mutant("autocommit, unchecked", "connection", "if connection.autocommit is not False:", "if False:"),
    Mutant("reads what is not committed", "connection", "session.execute(sql.READ_COMMITTED)", "pass"),
    Mutant("batch answers unread", "connection", "if not isinstance(result, int):", "if False:"),
    Mutant("batch of fewer answers", "connection", "or len(results) != len(rows):", "or not results:"),
    Mutant("fetchmany by default", "connection", "while rows := cursor.fetchmany(FETCH_ROWS):", "if rows := cursor.fetchmany():"),
    Mutant("rows read after their cursor", "connection", "[tuple(_copied(value) for value in row) for row in rows]", "rows"),
    Mutant("streams unread", "connection", 'if hasattr(value, "read"):', "if False:"),
    Mutant("a lost connection is not tried again", "connection", "retry_if_exception_type((ConnectionLostError, LockedError))", "retry_if_exception_type(LockedError)"),
    Mutant("a broken connection is used again", "connection", "except ConnectionLostError:\n                session.close()", "except ConnectionLostError:\n                self._idle.put(session)"),
    Mutant("connections cross a fork", "connection", "if self._process != os.getpid():", "if False:"),
    Mutant("a pool without a bound", "connection", "with self._free:", "if True:"),
    Mutant("no rollback before the next user", "connection", "yield session\n                session.rollback()", "yield session"),
    Mutant("what is there already is an error", "connection", "EXISTS = -201", "EXISTS = -202"),
    Mutant("the password in the address", "connection", "username: str = field(repr=False)\n    password: str = field(repr=False)", "username: str\n    password: str"),
    Mutant("2 digits of a vector", "rows", '"%.9g,"', '"%.2g,"'),
    Mutant("pooled vectors as float64", "rows", "flatten().to_numpy()", "flatten().to_numpy().astype(float)"),
    Mutant("principals as text", "rows", "json.dumps(one) for one", "str(one) for one"),
    Mutant("keys of any length", "rows", "len(value.encode()) > KEY_BYTES", "len(value.encode()) > 10_000"),
    Mutant("no commit", "store", "work(session, version)\n            session.commit()", "work(session, version)"),
    Mutant("a commit for each step", "store", "execute(self._registry.next_version(), (lay.table.name,))", "execute(self._registry.next_version(), (lay.table.name,)) and session.commit()"),
    Mutant("deleting without history", "store", "session.execute(lay.keep(lay.of_keys(len(filled))), (version, *filled))\n                    session.execute(lay.delete", "session.execute(lay.delete"),
    Mutant("replacing leaves the old rows", "store", "session.execute(lay.delete(lay.of_group(column)), (value, version))", "pass"),
    Mutant("replace commits before it deletes", "store", "session.execute(lay.keep(lay.of_group(column)), (version, value, version))", "session.commit()\n                session.execute(lay.keep(lay.of_group(column)), (version, value, version))"),
    Mutant("rows of a later commit are read", "store", "mine = [row for row in page if row[-1] <= version]", "mine = page"),
    Mutant("moved rows are read twice", "store", "if row[0] not in seen])", "])"),
    Mutant("moved rows are missed", "store", "if self.version(lay.table) != version:\n                yield from", "if False:\n                yield from"),
    Mutant("an empty list of keys is everything", "store", "if keys is None else self._of_keys", "if not keys else self._of_keys"),
    Mutant("somebody else's schema is taken", "store", 'if names and "ragassetsfiles" not in names:', "if False:"),
    Mutant("another corpus's schema is taken", "store", "if corpus != self.corpus:", "if False:"),
    Mutant("forgotten versions are read", "store", "if not oldest <= version <= newest and", "if not version <= newest and"),
    Mutant("a missing table is read", "store", "return (found[0][0], found[0][1]) if found else (0, 0)", "return (found[0][0], found[0][1]) if found else (1, 1)"),
    Mutant("a file is created twice", "files", "return attempts > 1 and self._content(session, path) == content", "return True"),
    Mutant("a created file is denied after a lost answer", "files", "return attempts > 1 and self._content(session, path) == content", "return False"),
    Mutant("an update without a lock", "files", "there = session.execute(self._sql.lock(), (path,)) > 0", "there = bool(session.select(self._sql.one(), (path,)))"),
    Mutant("a folder's name is a beginning", "files", 'below = (f"{folder}/", f"{folder}0")', 'below = (folder, f"{folder}~")'),
    Mutant("pieces above what can be bound", "files", "PIECE_BYTES = 512 << 10", "PIECE_BYTES = 2 << 20"),
]  # fmt: skip


def caught(mutant: Mutant) -> str:
    """Return the first test that fails, empty when none does."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("resources", "rag_assets_tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        path = copy / "resources" / "store" / "iris" / f"{mutant.module}.py"
        text = path.read_text("utf-8")
        if mutant.old not in text:
            raise SystemExit(f"{mutant.name}: {mutant.old!r} is not in {path.name} any more")
        path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "--tb=no",
            "-p",
            "no:cacheprovider",
            "-k",
            "not lance and not bucket and not folder]",
        ]
        done = subprocess.run([*command, *SUITE], cwd=copy, capture_output=True, text=True, timeout=300)
        found = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return (
            found[0].split("::")[-1].split(" ")[0]
            if found
            else ""
            if done.returncode == 0
            else "the suite cannot be loaded"
        )


def main(names: list[str]) -> int:
    """Run all mutants, or those whose names are given."""
    chosen = [one for one in MUTANTS if not names or one.name in names]
    survived = 0
    print("| planted bug | where | caught by |\n|---|---|---|")
    for mutant in chosen:
        test = caught(mutant)
        survived += not test
        print(f"| {mutant.name} | {mutant.module}.py | {f'`{test}`' if test else '**survived**'} |", flush=True)
    print(f"\n{len(chosen) - survived} of {len(chosen)} caught.")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
