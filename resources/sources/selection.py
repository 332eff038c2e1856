"""The options that sources of files share: which names, how many at a time, how large; and who may read them.

Not here: an option of one kind of source.
"""

import pathspec
from pydantic import Field

from resources.parsing.registry import media_type_of
from resources.sources.base import Pace
from resources.sources.registry import SourceOptions


class FileOptions(SourceOptions):
    """Options of every source whose documents have names.

    `include`, `exclude`: patterns as in a .gitignore; without `include`, every name that has a parser.
    `concurrency`: documents read at a time. `rate`: requests a second at most. `max_mb`: a larger document becomes a
    failure of its own instead of filling the memory. `principals`: who may read this source's documents, where the
    source itself does not say.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    concurrency: int = Field(default=8, ge=1, le=64)
    rate: float | None = Field(default=None, gt=0)
    max_mb: int = Field(default=256, ge=1)
    principals: tuple[str, ...] | None = None

    @property
    def pace(self) -> Pace:
        """How hard the source may be asked."""
        return Pace(self.concurrency, self.rate, self.max_mb << 20)


class Selection:
    """Which names are wanted."""

    def __init__(self, options: FileOptions) -> None:
        self._include = pathspec.GitIgnoreSpec.from_lines(options.include) if options.include else None
        self._exclude = pathspec.GitIgnoreSpec.from_lines(options.exclude) if options.exclude else None

    def wants(self, key: str, *, any_type: bool = False) -> bool:
        """Whether a document of this name is wanted; with `any_type`, without `include` also if no parser knows it."""
        included = self._include.match_file(key) if self._include else any_type or media_type_of(key) is not None
        return included and not (self._exclude and self._exclude.match_file(key))

    def enters(self, folder: str) -> bool:
        """Whether anything in this folder (without a trailing slash) may be wanted."""
        return not (self._exclude and self._exclude.match_file(f"{folder}/"))
