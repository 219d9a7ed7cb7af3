"""The least certain images of a store for people: as a data set, or as suggestions of a work."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from annotate.data.formats.pictures import Pictures
from app.web.pages.pseudolabels.thresholds import Scores, least_certain
from app.web.toolkit import markup
from partlab.errors import ConfigError
from partlab.progress import event
from pseudolabel.export import export_coco

if TYPE_CHECKING:
    from annotate.studio.acts.push import Pushed

_EXPORTED = """
<div class="pl-note" role="status"><p>{{ done.images }} images with {{ done.masks }} masks in
<code>{{ done.out }}</code>. They go to annotators as a work, with these masks as suggestions:</p>
<pre tabindex="0"><code>partlab studio create WORK --vocabulary FILE --images {{ place }} \\
    --annotators EMAILS
partlab studio push WORK --predictions {{ place }}</code></pre></div>
"""
_SENT = """
<ul class="pl-note pl-found" role="status">{% for each in told %}
<li><b>{{ each.object }}</b> round {{ each.round }}: {{ each.sent }} suggestions sent
({{ each.masks }} masks); {{ each.unchanged }} held theirs already, {{ each.answered }} are
answered, {{ each.without }} are none of these images</li>
{% endfor %}</ul>
"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The `most` least certain images of an object category, "" for all."""

    scores: Scores
    object: str
    most: int

    def export(self, name: str) -> str:
        """Write them as a data set beside the store; what that made, as HTML.

        Raises:
            ConfigError: a name that is more than a name.
            OutputExistsError: the folder holds something.
        """
        if not name or Path(name).name != name:
            raise ConfigError(f"{name!r} is no name of a folder", hint="such as least-certain")
        store = self.scores.store
        done = export_coco(store.some(self._positions()), store.path.resolve().parent / name)
        return markup(_EXPORTED, done=done, place=quote(str(done.out)))

    def suggest(self, work: Path) -> str:
        """Send their masks to the open tasks of a work, as `partlab studio push` does.

        Raises:
            NotFoundError: the work has none of them.
            StateError, StudioError: as `annotate.studio.acts.push.push`.
        """
        return markup(_SENT, told=self._push(work))

    def _push(self, folder: Path) -> "list[Pushed]":
        from annotate.studio.acts.push import push
        from annotate.studio.api.client import Studio
        from annotate.work import Work
        from app.prelabel import from_dataset

        store = self.scores.store
        with (
            tempfile.TemporaryDirectory() as scratch,
            Work.open(folder) as work,
            Studio.from_env() as studio,
        ):
            found = Path(scratch) / store.path.resolve().name  # it names who suggests
            export_coco(store.some(self._positions()), found, pictures=Pictures.none)
            source = from_dataset(work, found)
            event("step", words="sending to Label Studio …")
            return push(work, studio, source.suggest, model=source.model)

    def _positions(self) -> list[int]:
        return sorted(least_certain(self.scores, self.object, self.most))
