"""Wav files: a folder for each class, or names that hold the class between marks."""

from __future__ import annotations

import re
from collections import Counter

from vit.data.recognition.layout import Layout, commands, count, quoted, word
from vit.data.recognition.listing import Listing, join, spread, stem
from vit.data.recognition.splits import splits_in

WAV = (".wav",)
OTHERS = (".mp3", ".flac", ".ogg", ".m4a", ".aac", ".opus", ".wma")
SHARE = 0.3  # of all files that are wav
NAMES = 2000  # of files that are compared
MOST_CLASSES = 200
FEW = 4  # files of a class, on average, from which on a part of names may be one
OFFERED = 3
PATCH = ("backbone.patch_size=8",)


def sounds(listing: Listing) -> list[Layout]:
    number = listing.number("", WAV)
    if not number:
        return _compressed(listing)
    if number < SHARE * sum(len(inside.files) for inside in listing.folders.values()):
        return []  # of another set, and maybe in a folder of their own
    deep = [name for name in listing.top.folders if listing.number(name, WAV)]
    splits, _ = splits_in(deep)
    if "train" in splits and _classes(listing, splits["train"]):
        return [_by_folders(listing, "{split}/{class}/{name}", splits["train"], splits)]
    if len(deep) > 1 and not listing.top.having(WAV) and not all(splits_in([n])[0] for n in deep):
        return [_by_folders(listing, "{class}/{name}", "", {})]
    homes = [place for place in listing.below("") if listing.folders[place].having(WAV)]
    if len(homes) == 1 and homes[0] and len(listing.top.folders) > 1:
        return []  # looked at by itself
    if len(homes) == 1:
        return _by_names(listing, homes[0])
    return [
        Layout(
            kind="sounds",
            title="sounds",
            certainty="possible",
            evidence=(f"{count(number, 'wav file')} lie in {len(homes)} folders",),
            change="data=wav_folder is nearest; say by data.pattern where the class stands in the "
            f"paths, such as {join(homes[0], listing.folders[homes[0]].having(WAV)[0])}.",
        )
    ]


def _classes(listing: Listing, place: str) -> list[str]:
    inside = listing.folders.get(place)
    return [n for n in inside.folders if listing.number(join(place, n), WAV)] if inside else []


def _by_folders(listing: Listing, pattern: str, place: str, splits: dict[str, str]) -> Layout:
    classes = _classes(listing, place)
    told = ", ".join(f"{n} {listing.number(join(place, n), WAV):,}" for n in classes[:6])
    more = f" and {len(classes) - 6} more" if len(classes) > 6 else ""
    folders = count(len(classes), "folder")
    whose = f"{place}/ holds {folders} of" if place else f"{folders} hold"
    evidence = [f"{whose} wav files: {told}{more}"]
    evidence.append(
        f"splits: {', '.join(splits.values())}" if splits else "no splits: val is set aside"
    )
    odd = []
    loose = listing.top.having(WAV)
    if loose:
        odd.append(f"{count(len(loose), 'wav file')} beside the folders do not fit the pattern")
    words = [] if pattern == "{class}/{name}" else [f'data.pattern="{pattern}"']
    data = ("data=wav_folder", word("data.root", listing.shown), *words)
    return Layout(
        kind="sounds",
        title="sounds in folders of their classes",
        certainty="certain",
        evidence=tuple(evidence),
        oddities=tuple(odd),
        data=data,
        commands=commands(data, PATCH, "classification"),
    )


def _by_names(listing: Listing, home: str) -> list[Layout]:
    """The class is one of the parts of names as 7_jackson_32.wav; which, only a person knows."""
    names = [stem(name) for name in spread(listing.folders[home].having(WAV), NAMES)]
    number = len(listing.folders[home].having(WAV))
    where = f"in {home}/" if home else "beside each other"
    evidence = f"{count(number, 'wav file')} lie {where}, such as {names[0]}.wav"
    root = listing.at(home)
    forms: Counter[tuple[str, ...]] = Counter(tuple(re.findall(r"[-_ ]", name)) for name in names)
    marks, times = forms.most_common(1)[0]
    parts = [re.split(r"[-_ ]", name) for name in names]
    if not marks or times < len(names):
        return [
            Layout(
                kind="sounds",
                title="sounds without classes",
                certainty="likely",
                evidence=(evidence, "their names have no parts in common that could be classes"),
                change="data=wav_folder is nearest: a folder for each class, or names of one form "
                "such as CLASS_SPEAKER_TAKE.wav.",
            )
        ]
    columns = list(zip(*parts, strict=True))
    kinds = [len(set(column)) for column in columns]
    fit = [
        at
        for at, many in enumerate(kinds)
        if 2 <= many <= MOST_CLASSES and FEW * many <= len(names)
    ]
    last = len(columns) - 1
    if len(fit) > 1 and last in fit and all(value.isdecimal() for value in columns[last]):
        fit.remove(last)  # a take
    if not fit:
        return []
    told = ", ".join(
        f"part {at + 1} has {many:,} values ({', '.join(sorted(set(columns[at]))[:4])} …)"
        for at, many in enumerate(kinds)
    )
    layouts = []
    for rank, at in enumerate(fit[:OFFERED]):
        others = [one for one in fit if one != at]
        called = {at: "class"} | ({others[0]: "group"} if others else {})
        fields = [called.get(one, f"part{one + 1}") for one in range(len(columns))]
        pattern = "".join(
            f"{{{name}}}{mark}" for name, mark in zip(fields, [*marks, ""], strict=True)
        )
        words = [f'data.pattern="{pattern}"']
        odd = ["which part is the class, the names do not say"] if len(fit) > 1 else []
        if others:
            group = quoted(min(columns[others[0]]))
            odd.append(
                f"part {others[0] + 1} is taken for a group, such as a speaker: "
                f"data.test_groups=[{group}] tests on one that was never heard, and "
                "data.split_by_group=true sets aside whole groups for val"
            )
        data = ("data=wav_folder", word("data.root", root), *words)
        layouts.append(
            Layout(
                kind="sounds",
                title=f"sounds with the class in their names, as part {at + 1}",
                certainty="possible" if rank else "likely",
                evidence=(evidence, told, "no splits: val is set aside"),
                oddities=tuple(odd),
                data=data,
                commands=commands(data, PATCH, "classification"),
            )
        )
    return layouts


def _compressed(listing: Listing) -> list[Layout]:
    number = listing.number("", OTHERS)
    if not number:
        return []
    example = listing.some("", OTHERS, 1)[0].name
    return [
        Layout(
            kind="sounds",
            title="sounds that are no wav files",
            certainty="likely",
            evidence=(f"{count(number, 'file')} such as {example}",),
            change="data=wav_folder is nearest, but reads .wav: convert each, as by ffmpeg -i "
            f"{example} {stem(example)}.wav",
        )
    ]
