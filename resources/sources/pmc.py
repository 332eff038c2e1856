"""Articles of PubMed Central's open access subset that a query finds, as JATS XML. Needs a network that reaches NCBI.

E-utilities (https://www.ncbi.nlm.nih.gov/books/NBK25501/) search, summarise and fetch; the OA service
(https://www.ncbi.nlm.nih.gov/pmc/tools/oa-service/) says under which licence an article may be used. Both ask for at
most three requests a second, ten with an API key.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

from pydantic import Field

from resources.identity import digest
from resources.sources.base import OpenDocument, SourceItem
from resources.sources.failures import CorruptionError, PermissionDeniedError, UnsupportedError
from resources.sources.fetching import Paced
from resources.sources.registry import Secret, register_source
from resources.sources.selection import FileOptions
from resources.sources.web import Body, Client

EUTILS = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"
OA = "https://www.ncbi.nlm.nih.gov/pmc/utils/oa/oa.fcgi"
PAGE = 500
SUMMARIES = 200
LONGEST_RECORD = 1 << 20


class PmcOptions(FileOptions):
    """`query`: as in PMC's own search. `most`: so many articles at most, the most relevant ones.

    `email` and `api_key`: NCBI asks for the first and gives the second to registered users. `eutils_url`, `oa_url`:
    other servers of the same protocols.
    """

    query: str = Field(min_length=1)
    most: int = Field(default=1000, ge=1, le=10_000)
    email: str | None = None
    api_key: Secret | None = None
    eutils_url: str = EUTILS
    oa_url: str = OA
    concurrency: int = Field(default=2, ge=1, le=8)
    rate: float | None = Field(default=3.0, gt=0, le=10)


@register_source("pmc")
class PmcSource:
    """Keys are PMC ids, such as `PMC1234567`."""

    Options = PmcOptions
    location = "query"
    type = "pmc"
    keeps_originals = False

    def __init__(self, name: str, options: PmcOptions) -> None:
        self.name = name
        self.fingerprint = digest("pmc")
        self.pace = options.pace
        self._options = options

    def discover(self) -> Iterator[SourceItem]:
        """Yield the articles found, ordered by id: a request for each 500 ids, and one for each 200 summaries."""
        ids = sorted(self._search())
        items = [item for start in range(0, len(ids), SUMMARIES) for item in self._summaries(ids[start:][:SUMMARIES])]
        yield from sorted(items, key=lambda item: item.key)

    @contextmanager
    def open(self, item: SourceItem) -> Iterator[OpenDocument]:
        """Open an article's full text, once the OA service has said that it may be used, and how."""
        rights = self._rights(item.key)
        params = {**self._common, "db": "pmc", "id": item.key.removeprefix("PMC"), "rettype": "xml"}
        with self._client.response("GET", f"{self._options.eutils_url}/efetch.fcgi", item.key, params=params) as answer:
            data = Body(answer).read_all(self.pace.max_bytes, item.key)
        yield OpenDocument(BytesIO(data), item.version, "application/jats+xml", None, rights)

    @cached_property
    def _client(self) -> Client:
        return Client()

    @cached_property
    def _paced(self) -> Paced:
        return Paced(self.pace)

    @property
    def _common(self) -> dict[str, Any]:
        key = self._options.api_key
        common = {
            "tool": "rag-assets",
            "email": self._options.email,
            "api_key": key.get_secret_value() if key else None,
        }
        return {name: value for name, value in common.items() if value}

    def _search(self) -> set[str]:
        found: set[str] = set()
        while len(found) < self._options.most:
            page = min(PAGE, self._options.most - len(found))
            term = f"({self._options.query}) AND open access[filter]"
            result = self._ask("esearch.fcgi", {"term": term, "retstart": len(found), "retmax": page})["esearchresult"]
            if "ERROR" in result:
                raise UnsupportedError(f"source {self.name}: PMC does not understand the query: {result['ERROR']}")
            ids = result["idlist"]
            found.update(ids)
            if not ids or len(found) >= int(result["count"]):
                break
        return found

    def _summaries(self, ids: list[str]) -> Iterator[SourceItem]:
        result = self._ask("esummary.fcgi", {"id": ",".join(ids)})["result"]
        for one in ids:
            if "error" not in (summary := result[one]):
                key = f"PMC{one}"
                version = digest("pmc", json.dumps(summary, sort_keys=True))
                url = f"https://pmc.ncbi.nlm.nih.gov/articles/{key}/"
                yield SourceItem(key, version, url=url, principals=self._options.principals)

    def _ask(self, what: str, params: dict[str, Any]) -> Any:
        url = f"{self._options.eutils_url}/{what}"
        everything = {**self._common, "db": "pmc", "retmode": "json", **params}
        try:
            return self._paced(lambda: self._client.json(url, f"PMC {what}", everything), f"PMC {what}")
        except KeyError as error:
            raise CorruptionError(f"PMC {what}: answered without {error}") from error

    def _rights(self, key: str) -> dict[str, Any]:
        with self._client.response("GET", self._options.oa_url, key, params={"id": key}) as answer:
            data = Body(answer).read_all(LONGEST_RECORD, key)
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            raise CorruptionError(f"{key}: the OA service answered with declarations of its own")
        try:
            root = ElementTree.fromstring(data)
        except ElementTree.ParseError as error:
            raise CorruptionError(f"{key}: the OA service answered no XML: {error}") from error
        if (refused := root.find("error")) is not None:
            raise PermissionDeniedError(f"{key}: not in the open access subset: {refused.get('code')}")
        if (record := root.find(".//record")) is None:
            raise CorruptionError(f"{key}: the OA service answered without a record")
        return {
            "license": record.get("license") or "unknown",
            "citation": record.get("citation") or "",
            "retracted": record.get("retracted") == "yes",
        }
