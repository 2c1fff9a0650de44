"""Which config files there are to choose from."""

from __future__ import annotations

from typing import Any


class Groups:
    """The options of config groups, from the shipped configs and from the folders beside them.

    Stands for Hydra's own loader, which looks for `glob(*)` in the first folder only.
    """

    def __init__(self, search_words: list[str]):
        self._search_words = search_words  # `hydra.searchpath=[…]`, or none

    def get_group_options(self, group_name: str, results_filter: Any = None) -> list[str]:
        from hydra.core.global_hydra import GlobalHydra

        loader = GlobalHydra.instance().config_loader()
        return loader.get_group_options(group_name, results_filter, overrides=self._search_words)
