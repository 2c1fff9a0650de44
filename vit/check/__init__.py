"""The check: every fault of a run's config and data, before the first step is paid for.

Called, as `vit.check("experiment=digits")`, it is `vit check`; see vit.api.training.check.
"""

from vit.callable_package import make_callable

make_callable(__name__, "vit.api.training:check")
