"""What IRIS refuses, or silently does otherwise than one thinks, refused aloud. Texts only."""

import functools
import re

_WORDS = (
    "ALL AND ANY AS ASC BETWEEN BIT BY CASE CAST CHAR CHARACTER CHECK CLOSE COALESCE COLLATE COMMIT CONNECT CONSTRAINT "
    "CONTINUE CONVERT CREATE CROSS CURRENT CURRENT_DATE CURSOR DATE DECIMAL DECLARE DEFAULT DELETE DESC DESCRIBE "
    "DISTINCT DOUBLE DROP ELSE END ESCAPE EXCEPT EXEC EXECUTE EXISTS EXTERNAL EXTRACT FALSE FETCH FILE FIRST FLOAT FOR "
    "FOREIGN FOUND FROM FULL GET GLOBAL GO GRANT GROUP HAVING HOUR IDENTITY IMMEDIATE IN INDICATOR INNER INPUT INSERT "
    "INT INTEGER INTERSECT INTERVAL INTO IS ISOLATION JOIN LANGUAGE LAST LEADING LEFT LEVEL LIKE LOCAL LOWER MATCH MAX "
    "MIN MINUTE MODULE NAMES NATIONAL NATURAL NCHAR NEXT NO NOT NULL NULLIF NUMERIC OCTET_LENGTH OF ON ONLY OPEN "
    "OPTION OR OUTER OUTPUT OVERLAPS PAD PARTIAL PREPARE PRESERVE PRIMARY PRIOR PRIVILEGES PROCEDURE PUBLIC READ REAL "
    "REFERENCES RELATIVE RESTRICT REVOKE RIGHT ROLE ROLLBACK ROWS SCHEMA SCROLL SECOND SECTION SELECT SESSION_USER SET "
    "SHARD SMALLINT SOME SPACE SQLERROR SQLSTATE STATISTICS SUBSTRING SUM SYSDATE TABLE TEMPORARY THEN TIME TIMESTAMP "
    "TO TOP TRAILING TRANSACTION TRIM TRUE UNION UNIQUE UPDATE UPPER USER USING VALUES VARCHAR VARYING WHEN WHENEVER "
    "WHERE WITH WORK WRITE"
)
RESERVED = frozenset(_WORDS.split())
MAX_LITERAL = 3000
MAX_LIST = 500

_FORBIDDEN = [
    (r";", "one statement at a time"),
    (r"\bLIMIT\b|\bOFFSET\b|\bFETCH\s+FIRST\b", "write SELECT TOP n"),
    (r"\bON\s+CONFLICT\b|\bREPLACE\s+INTO\b|\bOR\s+REPLACE\b|\bMERGE\b", "write INSERT OR UPDATE"),
    (r"\bRETURNING\b|\bWITH\s+RECURSIVE\b|\bILIKE\b|::|\bPRAGMA\b|\bBEGIN\b", "no such syntax"),
    (r"\bIF\s+(NOT\s+)?EXISTS\b", "not on all versions; tolerate -201 instead"),
    (r"\bTOP\b(?!\s+\d)", "TOP takes a literal number"),
    (r"\bVALUES\s*\((?:[^()]|\([^()]*\))*\)\s*,", "one row a statement"),
    (r"TO_VECTOR\s*\((?!\?, (?:FLOAT|DOUBLE)\))", "TO_VECTOR(?, FLOAT): a bare type, no length, a parameter"),
    (r"\bDISTINCT\b(?!\s+%EXACT)", "without %EXACT it returns upper case"),
    (r"[`\[\]]|==|\bTRUE\b|\bFALSE\b", "no such syntax"),
]
_DDL = [
    (r"\bVARCHAR\b(?!\()", "VARCHAR without a length holds one character"),
    (r"\bTEXT\b|\bBLOB\b|\bCLOB\b|\bBYTEA\b|\bSERIAL\b|\bJSON\b", "write the type's own name"),
    (r"\bVECTOR\b(?!\((?:FLOAT|DOUBLE), \d+\))", "VECTOR(FLOAT, n)"),
]


class RefusedError(Exception):
    """What a statement does that IRIS refuses. `code`: the SQLCODE."""

    def __init__(self, why: str, code: int = -1) -> None:
        super().__init__(f"[SQLCODE: <{code}>:<{why}>]")


@functools.lru_cache(1024)
def lint(text: str, parameters: int, streams: frozenset[str]) -> None:
    """Raise RefusedError for a text that IRIS would refuse or misunderstand. `streams`: columns of large values."""
    for literal in re.findall(r"'((?:[^']|'')*)'", text):
        if len(literal) > MAX_LITERAL:
            raise RefusedError("a literal this long fails; bind it", -400)
    bare = re.sub(r"'(?:[^']|'')*'", "''", text)
    is_ddl = re.match(r"\s*(CREATE|ALTER)\b", bare, re.I) is not None
    for pattern, why in _FORBIDDEN + (_DDL if is_ddl else []):
        if found := re.search(pattern, bare, re.I):
            raise RefusedError(f"{found[0]!r}: {why}")
    if bare.count("?") != parameters:
        raise RefusedError(f"{bare.count('?')} parameters in the text, {parameters} given", -400)
    for one in re.findall(r"\bIN \(([?, ]*)\)", bare):
        if one.count("?") > MAX_LIST or "?" not in one:
            raise RefusedError(f"a list of {one.count('?')} parameters", -400)
    _check_names(bare)
    _check_streams(bare, streams)


def _check_names(text: str) -> None:
    body = re.match(r"\s*CREATE TABLE \S+ \((.*)\)\s*$", text, re.S)
    names = re.split(r",\s*(?![^()]*\))", body[1]) if body else []
    inserted = re.match(r"\s*INSERT (?:OR UPDATE )?INTO \S+ \(([^)]*)\)", text)
    for name in names + (inserted[1].split(",") if inserted else []):
        word = name.split()[0]
        if word.upper() in RESERVED and not name.strip().upper().startswith("PRIMARY KEY"):
            raise RefusedError(f"IDENTIFIER expected, {word} found", -1)


def _check_streams(text: str, streams: frozenset[str]) -> None:
    conditions = re.split(r"\bWHERE\b|\bORDER BY\b|\bGROUP BY\b|\bDISTINCT\b", text)[1:]
    keys = re.findall(r"PRIMARY KEY \(([^)]*)\)|CREATE INDEX \S+ ON TABLE \S+ \(([^)]*)\)", text)
    for part in [*conditions, *(" ".join(one) for one in keys)]:
        for word in re.findall(r"\w+", part):
            if word.lower() in streams and f"{word} IS" not in part:
                raise RefusedError(f"stream field {word} cannot be compared, ordered or indexed", -313)
