"""What things cost by where they are, for lists that hold several regions and a home lab."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from zave.cost.catalogue import Catalogue
from zave.cost.meter import leak_rate, usd_per_month
from zave.ports import Item


@dataclass(frozen=True)
class Rates:
    """USD from `at` on. A region of None is a home lab, which nobody bills.

    `refreshed` is the file of `prices update`. None where a price is not known: that is never 0.
    """

    at: datetime
    refreshed: Path | None = None
    _catalogues: dict[str, Catalogue] = field(default_factory=dict, init=False, repr=False)

    def day(self, item: Item, region: str | None) -> float | None:
        """A day of something that was left behind."""
        return 0.0 if region is None else leak_rate(item, self._catalogue(region), at=self.at)

    def month(self, item: Item, region: str | None) -> float | None:
        """730 hours of something that stands."""
        if region is None:
            return 0.0
        month = usd_per_month(item, self._catalogue(region), at=self.at)
        return None if month is None else round(month, 4)

    def _catalogue(self, region: str) -> Catalogue:
        if region not in self._catalogues:
            self._catalogues[region] = Catalogue.load(region, refreshed=self.refreshed)
        return self._catalogues[region]
