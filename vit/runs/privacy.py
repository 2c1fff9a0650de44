"""What a run writes down and shows of whoever made it, in one place.

Whoever lets a run write something new that tells of a person or a machine adds it here.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from vit.runs.environment import by_name, hidden
from vit.runs.remarks import note_of, tags_of
from vit.runs.secrets import BLACK, without_secrets
from vit.runs.stamp import DIFF_SWITCH, LEFT_OUT, stamp

SAID = ("project", "entity", "group", "tags", "notes")
LONGEST = 100  # letters of a value that is shown


@dataclass(frozen=True)
class Held:
    """`where` it is written, `what` it is, and its `value` where that is short."""

    where: str
    what: str
    value: str = ""


def held_by(config: dict[str, Any], command: list[str]) -> list[Held]:
    """All that the files, the tracker and the page of a run of this config would hold."""
    stamped = stamp(command, {}, [])
    git = stamped["git"] or {}
    rows = [Held("config.yaml", "every value of the config")]
    rows += [
        Held("config.yaml", "but of the environment the name alone", name)
        for name in sorted(set(hidden(config).values()))
    ]
    rows += [
        Held("config.yaml", "in full, since training reads it there; elsewhere ***", key)
        for key in _keys_of_secrets(config)
    ]
    rows += [
        Held("stamp.json", "the command, keys in it blacked out", _short(stamped["command"])),
        Held("stamp.json", "the folder it was given in", stamped["folder"]),
        Held("stamp.json", "the commit", str(git.get("commit"))),
        Held("stamp.json", "the uncommitted changes, keys in them blacked out", _extent_of(git)),
        Held("stamp.json", "names of files that git does not know", _short(_names(git))),
        Held("stamp.json", "machine and processor", _short(_words(stamped["hardware"]))),
        Held("stamp.json", "Python and packages", _short(_words(stamped["packages"]))),
        Held("stamp.json", "counts of the data, and a fingerprint"),
        Held("state.json", "host and process", f"{socket.gethostname()}, a number"),
        Held("state.json", "an error and the last lines of the log, keys blacked out"),
        Held("splits.json", "names of all samples, relative to the data"),
        Held("log.txt", "what was said, keys blacked out, paths of data and run among it"),
        Held("console.txt", "of a sweep's trial: what its processes printed, as it is"),
        Held("metrics.jsonl", "numbers; metrics.json too, with the texts of some samples"),
        Held("predictions-*.npz", "what was said of each sample, without names"),
        Held("pictures/, attend/", "images of the data"),
        Held("README.md", "command, folder, data's root, classes, numbers, processor, mistakes"),
        Held("results.png", "curves, and names of classes"),
        Held("checkpoints/", "weights, class names; of a run on texts its vocabulary"),
        Held("trial.json, sweep.json", "of a sweep: hosts, folder, and its words as typed"),
        *_remarks(config),
        *_tracker(config["tracking"]),
        Held("report.html", "command, folder, commit, config, numbers, pictures, ends of logs"),
    ]
    return rows


def _remarks(config: dict[str, Any]) -> list[Held]:
    remarks = {"the note": note_of(config), "the tags": ", ".join(tags_of(config))}
    where = "config.yaml, W&B, pages"
    return [Held(where, what, _short(text)) for what, text in remarks.items() if text]


def _tracker(tracking: dict[str, Any]) -> list[Held]:
    mode = tracking.get("mode")
    if mode in (None, "disabled"):
        return [Held("W&B", "nothing: there is no tracker")]
    said = without_secrets(by_name(tracking))
    where = "W&B's server" if mode == "online" else "wandb/ (not uploaded)"
    return [
        Held(where, "the config as above, numbers, and in full what is said to W&B itself"),
        *(Held(where, key, _short(str(said[key]))) for key in SAID if tracking.get(key)),
        Held(where, "what wandb itself notes: host, Python, hardware, this repository's address"),
    ]


def _keys_of_secrets(node: object, key: str = "") -> list[str]:
    """Keys of a config whose values are blacked out wherever they are not needed."""
    if isinstance(node, dict):
        return [
            secret
            for name, value in node.items()
            for secret in _keys_of_secrets(value, f"{key}.{name}" if key else str(name))
        ]
    plain = {key.rpartition(".")[2]: node}
    return [key] if BLACK in str(without_secrets(plain)) and not hidden(node) else []


def _extent_of(git: dict[str, Any]) -> str:
    diff = git.get("diff") or ""
    if not diff or diff == LEFT_OUT:
        return diff or "none"
    return f"{len(diff):,} letters; {DIFF_SWITCH}=0 in the environment leaves them out"


def _names(git: dict[str, Any]) -> str:
    return ", ".join(git.get("untracked") or []) or "none"


def _words(named: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in named.items())


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
