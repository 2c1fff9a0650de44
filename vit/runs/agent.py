"""torchrun's agent, which ends when whoever started it dies: `python -m vit.runs.agent …`."""

from __future__ import annotations

from vit.runs.process import die_with_parent

if __name__ == "__main__":
    die_with_parent()  # before the seconds that the import takes
    from torch.distributed.run import main

    main()
