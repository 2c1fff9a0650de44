"""torchrun's agent, which ends when whoever started it dies: `python -m vit.runs.agent …`."""

from __future__ import annotations

import signal

from vit.runs.process import die_with_parent

if __name__ == "__main__":
    die_with_parent()  # before the seconds that the import takes
    # A scheduler's warning to the whole group would kill the agent, which knows it no more than
    # the system does; a handler of Python's is not passed on to the ranks, which have their own.
    for warning in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(warning, lambda *_: signal.raise_signal(signal.SIGTERM))
    from torch.distributed.run import main

    main()
