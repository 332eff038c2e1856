"""`corpora`: what corpora there are, and how each stands."""

from typing import Any

from rag_assets.cli.options import ConfigOption, JsonOption


def corpora(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the corpora: sources, live snapshot, counts and size on disk."""
    from rag_assets.cli.console import print_json, print_table, working
    from resources.corpus import corpus_names
    from resources.settings import load_settings

    settings = load_settings(config)
    with working():
        rows = [_describe(settings, name) for name in corpus_names(settings)]
    if json:
        print_json({"home": str(settings.home), "corpora": rows})
        return
    columns = ("corpus", "sources", "snapshot", "documents", "chunks", "MB", "published")
    print_table(f"Corpora in {settings.home}", columns, [[_cell(row[name]) for name in columns] for row in rows])


def _describe(settings: Any, name: str) -> dict[str, Any]:
    from resources.corpus import open_corpus

    opened = open_corpus(settings, name)
    live = opened.store.snapshots.live()
    return {
        "corpus": name,
        "tenant": opened.settings.tenant,
        "sources": [source.name for source in opened.sources],
        "snapshot": live.number if live else None,
        "documents": live.counts["documents"] - len(live.removed_documents) if live else 0,
        "chunks": live.counts["chunks"] if live else 0,
        "MB": round(opened.store.size() / 1e6, 1),
        "published": live.created if live else None,
        "being_written_by": _holder(opened.store),
    }


def _holder(store: Any) -> str | None:
    holder = store.lease.holder()
    return str(holder) if holder is not None and not holder.released and not holder.process_is_gone() else None


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, str):
        return value[:16]
    return "-" if value is None else f"{value:,}"
