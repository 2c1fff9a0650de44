"""A run's folder: what it holds, how it is written, how it is read. Knows no torch, no Hydra.

Called, as `vit.runs("folder")`, it gives the runs in folders; see vit.api.run.runs.
"""

from vit.callable_package import make_callable

make_callable(__name__, "vit.api.run:runs")
