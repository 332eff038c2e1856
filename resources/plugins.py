"""Modules that installed packages add through an entry point group; importing one registers what it holds.

Not here: the registries themselves, each beside what it registers.
"""

from functools import cache
from importlib.metadata import entry_points


@cache
def load_plugins(group: str) -> None:
    """Import every module that the group names, once a process."""
    for entry in entry_points(group=group):
        entry.load()
