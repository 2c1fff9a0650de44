"""The `vit` command: names the commands and opens one. Imports nothing heavy."""

from __future__ import annotations

import importlib
import io
import os
import sys

from vit.runs.own_packages import leave_current_folder
from vit.version import __version__

COMMANDS = {
    "train": "train a model: vit train experiment=digits backbone.depth=6 seed=1",
    "sweep": "look at a sweep of vit train -m, stop it, go on with it",
    "check": "find every fault of config and data, show what a run would be",
    "keys": "which keys there are, with types, defaults and choices: vit keys backbone",
    "data": "draw augmented batches with their targets as a picture",
    "evaluate": "measure a trained run: vit evaluate RUN_DIR [data=…]",
    "predict": "what a run says of images, sounds or texts: vit predict RUN_DIR FILE…",
    "features": "write a frozen backbone's vectors of a data set: vit features RUN_DIR|WEIGHTS",
    "probe": "what a frozen backbone is worth: kNN, linear, logistic: vit probe RUN_DIR|WEIGHTS",
    "attend": "draw what a run looks at: vit attend RUN_DIR IMAGE…",
    "export": "write a run's weights as a safetensors file",
    "report": "compare runs: which is best, and is it really; one page: vit report runs/SWEEP",
    "diff": "show where two runs part, and by what",
    "leet": "watch the runs of a sweep live, in the terminal: vit leet runs/SWEEP",
    "clean": "free the disk that the checkpoints of a finished run or a sweep take",
    "sync": "upload offline W&B runs",
    "bench": "compare speeds with other libraries on this machine",
    "run": "train a prepared folder, on one machine or on each of several: vit run RUN_DIR",
}
SHOW_WHAT_THEY_HAVE = {"-h", "--help", "--cfg", "-c", "--info", "--hydra-help"}  # at once
HELP = """vit {version}: experiments with vision transformers whose answers you can trust.

usage: vit COMMAND …       vit COMMAND --help says more

{commands}

first steps:
  vit train experiment=digits             a ViT on handwritten digits, about a minute
  vit check experiment=cifar10            what a run would be, and what is missing
  vit train experiment=digits --cfg job   the config, as Hydra composes it
  eval "$(vit -sc install=bash)"          tab completion (zsh and fish likewise)
"""


def main(argv: list[str] | None = None) -> int:
    """Opens a command and returns its exit code; Refused becomes 2, Ctrl-C 130."""
    leave_current_folder()  # before anything is imported that might lie there
    from vit.runs.one_line import warned_in_words
    from vit.terminal import plain_streams

    _print_what_the_terminal_can()
    with plain_streams(), warned_in_words():
        try:
            return _open(sys.argv[1:] if argv is None else argv)
        except BrokenPipeError:  # the reader of our output has left, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141


def _open(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        commands = "\n".join(f"  {name:<{width}}  {about}" for name, about in COMMANDS.items())
        print(HELP.format(version=__version__, commands=commands))
        return 0
    if words[0] in ("--version", "-V"):
        print(f"vit {__version__}")
        return 0
    if words[0] in ("--shell-completion", "-sc"):
        from vit.cli.shell import complete

        return complete(words, list(COMMANDS))
    if words[0] not in COMMANDS:
        from vit.faults import did_you_mean

        guess = did_you_mean(words[0], COMMANDS)
        print(f"vit: no command {words[0]!r}.{guess} vit --help lists them.", file=sys.stderr)
        return 2
    from vit.faults import Refused

    if SHOW_WHAT_THEY_HAVE.isdisjoint(words) and "RANK" not in os.environ:
        from vit.terminal import show_passing

        show_passing(f"vit {words[0]}: starting …")  # imports and reading may take seconds
    command = importlib.import_module(f"vit.cli.{words[0]}")
    try:
        return command.main(words[1:])
    except Refused as refused:
        from vit.cli.screen import refuse

        return refuse(refused)
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # a full disk, a folder that is not to be written, …
        if error.errno is None or isinstance(error, BrokenPipeError):
            raise  # libraries call other things an OSError, too
        named = f"{error.filename}: " if error.filename is not None else ""
        print(f"failed: {named}{error.strerror}", file=sys.stderr)
        return 1


def _print_what_the_terminal_can() -> None:
    """`?` for what its encoding lacks, here and in child processes; an error would end the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    encoding = getattr(sys.stdout, "encoding", None)  # a closed one is None
    os.environ["PYTHONIOENCODING"] = f"{encoding or 'utf-8'}:replace"


if __name__ == "__main__":
    sys.exit(main())
