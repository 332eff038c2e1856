"""Listing and fetching a source as the documents stage does, for tests of any kind of source."""

from resources.sources.base import FetchFailure, SourceItem
from resources.sources.fetching import fetch_all


def fetch(source, keys, **options):
    """Return the outcomes of these keys, in their order, listed or not."""
    listed = {item.key: item for item in source.discover()}
    items = [listed.get(key) or SourceItem(key, "") for key in keys]
    found = {item.key: outcome for _, item, outcome in fetch_all([(source, items)], pause=0.001, **options)}
    return [found[key] for key in keys]


def fetch_listed(source, **options):
    """Return the outcome of everything the source lists, by key."""
    items = list(source.discover())
    return {item.key: one for _, item, one in fetch_all([(source, items)], pause=0.001, **options)}


def failures(outcomes):
    """Return why documents could not be fetched: kind and reason by key."""
    return {key: (one.kind, one.reason) for key, one in outcomes.items() if isinstance(one, FetchFailure)}
