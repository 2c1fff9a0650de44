"""vit keys: what can be set, of which type, to what, and what it means; imports no part."""

from __future__ import annotations

import argparse
import json

from vit.cli.compose import composer
from vit.cli.config_groups import WHOLE
from vit.cli.key_table import Section, as_markdown, as_plain, show
from vit.faults import Fault, Refused, did_you_mean

ABOUT = """Which keys there are: their types, defaults and meaning, and the choices of each group.

  vit keys                            the groups with their choices, and the keys at the top
  vit keys backbone                   every key of backbone=vit, the default
  vit keys data=folder optim          of another choice; of several groups
  vit keys experiment=cifar10 data    as an experiment sets them
  vit keys backbone.attention         of a part inside of a part
  vit keys data=coco data.train_file  a single key
  vit keys backbone --markdown        for a page; --json for programs

A task brings its parts where none that fit are chosen: vit keys task=detection data=voc head shows
which; conf/recipe has them all. What is chosen wins.

A key with a plus is one that the class takes and no file sets: +backbone.attention.start=glorot"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit keys", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "words", nargs="*", metavar="GROUP", help="a group, a key, or an override (group=choice)"
    )
    parser.add_argument("--config-name", "-cn", default="train", help="the primary config")
    parser.add_argument("--config-dir", "-cd", help="a further folder of configs")
    parser.add_argument("--markdown", action="store_true", help="print tables in Markdown")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_intermixed_args(argv)
    sections = asked(arguments)
    if arguments.json:
        print(json.dumps([as_plain(each) for each in sections], indent=1, ensure_ascii=False))
    elif arguments.markdown:
        print(as_markdown(sections))
    else:
        show(sections)
    return 0


def asked(arguments: argparse.Namespace) -> list[Section]:
    """The sections that the words ask for. Raises Refused with every word that names nothing."""
    overrides = [word for word in arguments.words if "=" in word]
    paths = [word.replace("/", ".").strip(".") for word in arguments.words if "=" not in word]
    named = []
    for word in arguments.words:
        group, override, _ = word.lstrip("+~").partition("=")
        path = group.replace("/", ".").strip(".")
        narrower = any(other.startswith(f"{path}.") for other in paths)
        if not override or not (group in WHOLE or "@" in group or narrower):
            named.append(path)
    arguments.overrides = overrides
    with composer(arguments) as compose_one:
        from vit.cli.keys_of import Keys

        composed = compose_one.composed(overrides)
        keys = Keys(composed, compose_one.groups, arguments.config_name)
        if not named:
            return keys.overview()
        known = keys.paths()
        faults = [
            Fault(word, f"no such group or key here.{did_you_mean(word, known)}")
            for word in named
            if word not in known
        ]
        if faults:
            hint = (
                "vit keys lists the groups. What only another choice has is asked for beside that "
                "choice: vit keys data=coco data.augment_boxes"
            )
            raise Refused(faults, hint=hint)
        return [each for word in dict.fromkeys(named) for each in keys.sections(word)]
