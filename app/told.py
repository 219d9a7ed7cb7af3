"""What acts on a work came to, in words: the same for commands and for pages."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from partlab.counts import counted

if TYPE_CHECKING:
    from annotate.studio.acts.push import Pushed
    from segmenter.loop.control import Standing
    from segmenter.loop.versions import Version


def pushed(each: "Pushed", words: str = "suggestions sent") -> str:
    """Of one round, what a push did with its tasks; `words` say what `sent` counts."""
    counts = {
        words: each.sent,
        "unchanged": each.unchanged,
        "answered already": each.answered,
        "in which the model found nothing": each.blank,
        "without a suggestion": each.without,
        "not in Label Studio yet": each.waiting,
    }
    found = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what == words)
    return f"{each.object} round {each.round}: {found}"


def exported(out: Path, n: Mapping[str, Any]) -> list[str]:
    """Lines on a data set that was written to `out`, and on what was left out of it."""
    from annotate.inspect.export import left_out

    line = f"{out}: {counted(n['images'], 'image')}, {counted(n['masks'], 'mask')}, "
    line += counted(n["categories"], "part category", "part categories")
    line += f" of {counted(n['objects'], 'object')}, {counted(n['discards'], 'discard')}"
    lines = [line, *(f"  left out: {words}" for words in left_out(n))]
    if failed := n["failed_but_in_it"]:
        lines.append(
            f"  {counted(failed, 'image')} failed inspection and stayed in it, since the category "
            "was accepted: --exclude-failed leaves such out"
        )
    for owner, why in n["without_new_parts"].items():
        lines.append(f"  {owner} was drawn with an earlier vocabulary: {why}")
    if n["missing_pictures"]:
        lines.append(
            f"  {counted(n['missing_pictures'], 'picture was', 'pictures were')} not found"
        )
    return lines


def loop_standing(found: "Standing", work: Path) -> list[str]:
    """Lines on how a work's loop stands, with the command that goes on."""
    lines, folder = [], quote(str(work))
    if (job := found.job) is None:
        lines.append(f"nothing was trained yet; next: partlab loop start {folder}")
    else:
        why = f": {job.why}" if job.why else ""
        how = found.progress.words if found.progress else ""
        lines.append(f"job {job.number} (version {job.version}) is {job.state}{why}")
        lines += [how] if how else []
        if job.state in ("stopped", "failed"):
            lines.append(
                f"go on: partlab loop start {folder}; drop it: partlab loop cancel {folder}"
            )
    if found.served is None:
        lines.append("no version is served yet")
    else:
        lines.append(f"version {found.served.number} of {len(found.versions)} is served")
    return lines


def version_row(one: "Version") -> tuple[str, str, str, str, str]:
    """When a version was made, from what; pictures and masks, the exam (new, old) and its p."""
    data = one.data or {}
    before, learnt = data.get("began_from", one.parent), data.get("train")
    begun = str(before) if before else "given" if one.given else "nothing"
    found = (one.exam or {}).get("all")
    return (
        one.at[:16].replace("T", " "),
        begun,
        f"{learnt['images']:,}, {learnt['masks']:,}" if learnt else "",
        f"{100 * found['new']:.1f}, {100 * found['old']:.1f}" if found else "",
        f"{found['p']:.2g}" if found else "",
    )


def version_fate(one: "Version") -> str:
    """What became of it after its exam."""
    return "was served" if one.served else "was kept aside"
