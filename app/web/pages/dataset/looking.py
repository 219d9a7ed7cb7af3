"""What the page answers to an ask, apart from what is on the screen."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from app.web.pages.dataset.asking import VIEWS, Ask
from app.web.shelf import Kept
from partlab.errors import UnknownNameError

if TYPE_CHECKING:
    from app.web.pages.dataset.picture import Beside
    from app.web.pages.dataset.seeing import Seen
    from app.web.pages.dataset.sources import Source, Sources
    from app.web.people import Person
    from app.web.site import Site
    from partlab.schema import Image
    from pseudolabel.store import Store


@dataclass
class DataSet:
    """The page's functions, apart from what is on the screen."""

    site: "Site"
    _kept: Kept = field(default_factory=Kept)

    @property
    def sources(self) -> "Sources":
        """What was given."""
        from app.web.pages.dataset.sources import Sources

        found: Sources = self._kept.get(
            "sources", lambda: Sources(self.site.given, self.site.library)
        )
        return found

    def html(self, ask: Ask, who: "Person") -> tuple[str, dict[str, Any]]:
        """What the page shows, and the same for programs.

        Raises:
            PartlabError: no such data set, part, category or image; a filter that cannot be.
        """
        from app.web.pages.dataset.seeing import seen as see

        source = self.sources.open(ask.data)
        if ask.view not in VIEWS:
            raise UnknownNameError("view", ask.view, VIEWS)
        source.use_kept_audit()
        if ask.order == "suspicion" and ask.store not in source.audits:
            self.audit(ask)
        if source.report is None and (ask.finding or ask.view == "findings"):
            source.check()
        found = see(source, ask)
        told = {
            "data": source.name,
            "images": len(source.index),
            "fit": len(found.rows),
            "left_out": dict(found.chosen.left_out),
            "page": found.page,
            "pages": found.pages,
            "ids": [int(source.index.ids[row]) for row in found.here],
        }
        html, more = self._view(source, ask, found, who)
        return html, {**told, **more}

    def _view(
        self, source: "Source", ask: Ask, found: "Seen", who: "Person"
    ) -> tuple[str, dict[str, Any]]:
        """The HTML of a view, and what it adds for programs."""
        shown = self.site.shown
        if ask.view == "findings":
            from app.web.pages.dataset.findings import findings_of
            from app.web.pages.dataset.findings import told as groups

            return findings_of(source, ask, shown), {"findings": groups(source)}
        if ask.view == "statistics":
            from app.web.pages.dataset.statistics import statistics_of

            counted = source.statistics()
            return statistics_of(counted), {"statistics": asdict(counted)}
        if ask.view == "export":
            from app.web.pages.dataset.exporting import export_of

            return export_of(source, ask, found), {}
        if ask.image:
            from app.web.pages.dataset.picture import picture_of

            return picture_of(source, ask, found, self.beside(source, ask), who, shown), {}
        from app.web.pages.dataset.sheet import sheet_of

        return sheet_of(source, ask, found, shown), {}

    def beside(self, source: "Source", ask: Ask) -> "Beside | None":
        """The pseudo labels of the image that is asked for; None without a store."""
        from app.web.pages.dataset.picture import beside_of
        from app.web.pages.dataset.seeing import row_of

        if not ask.store:
            return None
        store = self.store(ask.store)
        (image,) = source.index.dataset([row_of(source, ask)]).images
        return beside_of(store, self._rows(store).get(image.file_name), image)

    def store(self, name: str) -> "Store":
        """A store that was given; errors are those of `Store.open`, and an unknown name."""
        from pseudolabel.store import Store

        stores = self.site.given.stores
        if name not in stores:
            raise UnknownNameError("store", name, stores)
        return Store.open(stores[name])

    def _rows(self, store: "Store") -> dict[str, int]:
        """File name -> place in a store, read again when there is more in it."""

        def read() -> dict[str, int]:
            names = (row.file_name for row in store.rows(["file_name"]))
            return {name: place for place, name in enumerate(names)}

        found: dict[str, int] = self._kept.get(f"{store.path} {store.identity} {len(store)}", read)
        return found

    def audit(self, ask: Ask) -> None:
        """Rank the images by how likely their masks are wrong, beside a store's if one is named."""
        from annotate.inspect.audit import audit

        source = self.sources.open(ask.data)
        source.audits[ask.store] = audit(source.whole(), self._predictions(ask.store))

    def _predictions(self, name: str) -> Any:
        """A store's masks as the data set that an audit takes; None judges sizes alone."""
        from app.prelabel import as_dataset

        return as_dataset(self.store(name)) if name else None

    def image(self, data: str, image: int | str) -> "tuple[Source, Image]":
        """An image of a data set by its id."""
        from app.web.pages.dataset.seeing import row_of

        source = self.sources.open(data)
        (found,) = source.index.dataset([row_of(source, Ask(image=str(image)))]).images
        return source, found
