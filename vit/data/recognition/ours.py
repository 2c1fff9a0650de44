"""Folders that vit itself wrote, which a person may take for data."""

from __future__ import annotations

import shlex

from vit.data.recognition.layout import Layout, count
from vit.data.recognition.listing import Listing

RUN = {"config.yaml", "stamp.json"}
SWEEP = "sweep.json"


def runs(listing: Listing) -> list[Layout]:
    named = shlex.quote(listing.shown)
    if SWEEP in listing.top.names:
        return [
            _ours(
                "sweep",
                "a sweep of vit's, and no data",
                f"it holds {SWEEP} and {count(len(listing.top.folders), 'folder')}",
                f"vit report {named} compares its runs.",
            )
        ]
    if listing.top.names >= RUN:
        return [
            _ours(
                "run",
                "a run of vit's, and no data",
                f"it holds {', '.join(sorted(RUN))}",
                f"vit predict {named} FILE… asks it, vit evaluate {named} measures "
                f"it, vit report {named} shows it.",
            )
        ]
    inner = [name for name in listing.top.folders if name in listing.folders]
    ours = [
        n for n in inner if listing.folders[n].names >= RUN or SWEEP in listing.folders[n].names
    ]
    if ours and len(ours) > len(inner) / 2:
        return [
            _ours(
                "runs",
                "a folder of vit's runs, and no data",
                f"{count(len(ours), 'run')} or sweeps: {', '.join(ours[:5])}",
                f"vit report {named} compares them.",
            )
        ]
    return []


def _ours(kind: str, title: str, evidence: str, change: str) -> Layout:
    return Layout(kind=kind, title=title, certainty="certain", evidence=(evidence,), change=change)
