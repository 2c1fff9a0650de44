"""From a few numbers to an optimizer with its parameter groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vit.faults import did_you_mean
from vit.optim.groups import all_depths, param_groups

# Made here, so that the usual runs do not wait 4 s for `import timm.optim`.
TORCH = ("adamw", "sgd")
SCHEDULE_FREE = {
    "schedulefree": "AdamWScheduleFree",
    "schedulefree_radam": "RAdamScheduleFree",
    "schedulefree_sgd": "SGDScheduleFree",
}


@dataclass(kw_only=True)
class Optim:
    """An optimizer by name: any of timm's (`timm.optim.list_optimizers()`), or schedule-free.

    Args:
        name: adamw, sgd, lion, lamb, muon, nadamuon, adafactor, adopt, …; schedulefree,
            schedulefree_radam or schedulefree_sgd.
        lr: the highest learning rate, of the deepest layers.
        weight_decay: of everything the model does not exempt.
        layer_decay: factor on the learning rate for each layer further from the head.
        head_lr_scale: factor on the learning rate of the head and what follows the last block.
        betas, eps, momentum: None for the optimizer's own. Muon's `betas` and `eps` are those of
            the AdamW that it leaves embeddings, head and vectors to.
        fused: torch's fused AdamW; Lightning refuses it together with gradient clipping in mixed
            precision.
    """

    name: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float = 1.0
    head_lr_scale: float = 1.0
    betas: tuple[float, ...] | None = None
    eps: float | None = None
    momentum: float | None = None
    fused: bool = False

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"optim.lr={self.lr}; wanted more than 0.")
        if not self.weight_decay >= 0:
            raise ValueError(f"optim.weight_decay={self.weight_decay}; wanted 0 or more.")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(
                f"optim.layer_decay={self.layer_decay}; wanted a factor in (0, 1], 1 for none."
            )
        if not self.head_lr_scale > 0:
            raise ValueError(f"optim.head_lr_scale={self.head_lr_scale}; wanted more than 0.")
        if self.fused and self.name != "adamw":
            raise ValueError(f"optim.fused=true is for adamw only, and optim.name={self.name!r}.")
        if self.name in SCHEDULE_FREE:
            _schedule_free_class(self.name)
        elif self.name not in TORCH:
            _timm_facts(self.name)

    @property
    def schedule_free(self) -> bool:
        """Whether it averages the weights itself, and a callback must show them; see callbacks."""
        return self.name in SCHEDULE_FREE

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`."""
        groups = param_groups(
            model, self.lr, self.weight_decay, self.layer_decay, self.head_lr_scale
        )
        given: dict[str, Any] = {
            "betas": self.betas,
            "eps": self.eps,
            "momentum": self.momentum,
        }
        given = {name: value for name, value in given.items() if value is not None}
        if self.schedule_free:
            taken = {"momentum"} if self.name.endswith("sgd") else {"betas", "eps"}
            self._refuse(given, taken, num_betas=2)
            make: Any = _schedule_free_class(self.name)
            return make(groups, lr=self.lr, **given)
        if self.name == "adamw":
            self._refuse(given, {"betas", "eps"}, num_betas=2)
            return torch.optim.AdamW(groups, lr=self.lr, fused=self.fused or None, **given)
        if self.name == "sgd":
            self._refuse(given, {"momentum"})
            given.setdefault("momentum", 0.9)
            return torch.optim.SGD(groups, lr=self.lr, nesterov=given["momentum"] > 0, **given)
        return self._from_timm(groups, given, all_depths(model))

    def _from_timm(
        self, groups: list[dict[str, Any]], given: dict[str, Any], ends: set[int]
    ) -> torch.optim.Optimizer:
        from timm.optim import create_optimizer_v2

        facts = _timm_facts(self.name)
        taken = {"betas"} if facts.has_betas else set()
        taken |= {"eps"} if facts.has_eps else set()
        taken |= {"momentum"} if facts.has_momentum else set()
        self._refuse(given, taken, num_betas=facts.num_betas)
        if getattr(facts.opt_class, "__name__", "") == "Muon":
            for group in groups:
                # Orthogonal steps suit the matrices between two layers of tokens. Embeddings and
                # classifiers get AdamW, as in Muon's own recipes. Frozen layers count, too.
                first_or_last = len(ends) > 1 and group["depth"] in (min(ends), max(ends))
                group["use_fallback"] = first_or_last or not group["decays"]
        try:
            return create_optimizer_v2(groups, opt=self.name, lr=self.lr, **given)
        except AssertionError as error:  # timm's way to say "CUDA required for …"
            raise ValueError(
                f"optim.name={self.name}: {error}; choose another, such as adamw."
            ) from error

    def _refuse(self, given: dict[str, Any], taken: set[str], num_betas: int | None = None) -> None:
        for name in given:
            if name not in taken:
                own = f"takes {', '.join(sorted(taken))}" if taken else "takes none of its kind"
                raise ValueError(
                    f"optim.name={self.name} has no {name!r} ({own}); set optim.{name}=null."
                )
        betas = given.get("betas")
        if betas is not None and num_betas is not None and len(betas) != num_betas:
            raise ValueError(
                f"optim.betas={list(betas)} are {len(betas)}; {self.name} wants {num_betas}."
            )


def _timm_facts(name: str) -> Any:
    """What timm knows of an optimizer; ValueError for one that it lacks or we cannot drive."""
    from timm.optim import get_optimizer_info, list_optimizers

    if name not in list_optimizers():
        known = [*map(str, list_optimizers()), *SCHEDULE_FREE]
        raise ValueError(
            f"there is no optimizer {name!r}.{did_you_mean(name, known)} All names: "
            "python -c 'import timm.optim; print(timm.optim.list_optimizers())', and "
            f"{', '.join(SCHEDULE_FREE)}."
        )
    facts = get_optimizer_info(name)
    if facts.second_order:
        raise ValueError(
            f"optim.name={name} needs second derivatives, which the training step does not make; "
            "choose another, such as adamw."
        )
    return facts


def _schedule_free_class(name: str) -> type[torch.optim.Optimizer]:
    try:
        import schedulefree
    except ImportError as error:
        raise ImportError(
            f"optim.name={name} needs the package schedulefree: "
            "pip install 'vit-experiments[schedulefree]'"
        ) from error
    return getattr(schedulefree, SCHEDULE_FREE[name])
