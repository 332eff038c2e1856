"""Reads a share of a corpus's documents again and tries another parser on them. Nothing is written.

Not here: the trial of one type's documents and its judgment (`resources.parsing.canary`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from resources.corpus import Corpus
from resources.errors import SettingsError
from resources.parsing.base import RawDocument
from resources.parsing.canary import CanaryReport, is_chosen, run_canary
from resources.parsing.registry import media_type_of, parser_names, parsers_of
from resources.reconciliation.listing import Listing, document_id, read_listing
from resources.sources.base import FetchFailure
from resources.sources.fetching import ByteBudget, fetch_all
from resources.store.tables import DOCUMENTS


@dataclass(frozen=True)
class CanaryRun:
    """The parser in use and the one tried for one media type, what came of it, and the documents that could not be
    read from their source, with the reason.
    """

    media_type: str
    current: str
    canary: str
    report: CanaryReport
    unread: Mapping[str, str]


def try_parser(corpus: Corpus, parser: str, share: float) -> list[CanaryRun]:
    """Try `parser` on a `share` (0 to 1) of the documents of each type that has it, as it is not in use there.

    Raises SettingsError when the corpus has no such type, and SourceError when none of its sources can be listed.
    """
    listing = read_listing(corpus)
    if not listing.table.num_rows and listing.unreachable:
        raise next(iter(listing.unreachable.values()))
    types = _types(corpus, listing)
    runs = []
    for media_type in sorted(set(types.values())):
        current = next(iter(parsers_of(media_type, corpus.settings.parsing)), None)
        if current is None or current.name == parser or parser not in parser_names(media_type):
            continue
        chosen = [one for one, kind in types.items() if kind == media_type and is_chosen(one, share)]
        unread: dict[str, str] = {}
        raws = _raws(corpus, listing, chosen, unread)
        report = run_canary(raws, corpus.settings.parsing, media_type=media_type, parser=parser)
        runs.append(CanaryRun(media_type, current.name, parser, report, unread))
    if not runs:
        raise SettingsError(
            f"no document of corpus {corpus.name} can be tried with a parser {parser!r}; {_others(types)}"
        )
    return runs


def _types(corpus: Corpus, listing: Listing) -> dict[str, str]:
    """Return the media type of each listed document: the one found when it was parsed, else its name's."""
    stored = corpus.store.rows(DOCUMENTS, ("document_id", "media_type"))
    found = dict(zip(stored["document_id"].to_pylist(), stored["media_type"].to_pylist(), strict=True))
    listed = zip(listing.table["document_id"].to_pylist(), listing.table["key"].to_pylist(), strict=True)
    return {one: found.get(one) or media_type_of(key) or "" for one, key in listed}


def _raws(corpus: Corpus, listing: Listing, chosen: list[str], unread: dict[str, str]) -> Iterator[RawDocument]:
    jobs = [(source, listing.items(source.name, chosen)) for source in corpus.sources]
    for source, item, fetched in fetch_all(jobs, budget=ByteBudget(corpus.settings.parsing.in_flight_mb << 20)):
        if isinstance(fetched, FetchFailure):
            unread[document_id(source, item.key)] = fetched.reason
        else:
            yield replace(fetched, key=document_id(source, item.key))


def _others(types: Mapping[str, str]) -> str:
    several = {one: names for one in sorted(set(types.values())) if len(names := parser_names(one)) > 1}
    found = "; ".join(f"{media_type}: {', '.join(names)}" for media_type, names in several.items())
    return f"types of it with several parsers: {found}" if found else "none of its types has several parsers"
