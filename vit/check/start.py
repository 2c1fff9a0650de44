"""What a run starts from: another's weights (`init`), or the end of one (`extend`)."""

from __future__ import annotations

from typing import Any

from vit.check.case import Case
from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.tasks.assembly import assemble_schedule
from vit.weights.of_run import fitting, source_of

NAMED = 4  # classes
# Why added epochs have the rate that they have; by whether it stays.
WHY = {True: ", where it ended", False: ", as it ended at 0"}


def check_init(case: Case) -> None:
    """Whether there are such weights, and what of them the model takes.

    Of a run that goes on from a checkpoint they are not asked for: nothing is read from them again.
    """
    init = case.config.get("init")
    if not isinstance(init, str) or not case.usable("init"):
        return
    goes_on = case.run_dir is not None and RunFolder(case.run_dir).last_checkpoint.exists()
    if goes_on or case.config.get("extend"):
        return
    try:
        source = case.shared.find(["init", init], lambda: source_of(init, allow_targets=case.allow))
        if case.model is None:
            return
        content = case.shared.find(["init content", init], source.look)
        placement = fitting(source, content, case.model)
    except Refused as refused:
        case.faults += refused.faults
        return
    case.init = source.record(placement)
    case.init["summary"] = placement.summary()
    case.warnings += [*_other_classes(init, content, case), *_overwritten(case)]


def check_extension(case: Case) -> None:
    """At which learning rate the epochs go that `extend` adds; whether that is one at all."""
    config, training = case.config, case.training
    epochs, scale = config.get("extend"), config.get("extend_lr_scale")
    if not epochs:
        if scale is not None:
            message = f"is {scale}, and there is no extend whose epochs it could be for"
            case.faults.append(Fault("extend_lr_scale", f"{message}; wanted extend=10, or null"))
        return
    if training is None or case.schedule is None or not case.usable("schedule"):
        return
    schedule = assemble_schedule(config, case.allow)
    steps, per_epoch = training.steps, training.steps_per_epoch
    first = schedule.recipe_steps(steps, per_epoch)
    begins, ends = (schedule.scale(at, steps, per_epoch) for at in (first, steps - 1))
    kind = type(schedule.schedule).__name__.lower()
    lr, last = case.schedule.lr, steps // per_epoch
    goes = f"stays at {lr * begins:.3g}"
    if begins != ends:
        goes = f"goes from {lr * begins:.3g} in a straight line to {lr * ends:.3g}"
    why = "" if scale is not None else f"{WHY[begins == ends]}; extend_lr_scale=… sets another"
    added = f"epochs {last - epochs + 1} to {last}" if epochs > 1 else f"epoch {last}"
    case.extension = f"{added}; the schedule ({kind}) is over, and lr {goes}{why}"


def _other_classes(init: str, content: dict[str, Any], case: Case) -> list[str]:
    """Layers for as many classes fit whatever these mean."""
    if case.data is None or case.init is None:
        return []
    facts = content.get("facts")
    theirs = facts.get("class_names") if isinstance(facts, dict) else None
    own = getattr(case.data.facts, "class_names", ())
    if not isinstance(theirs, list | tuple) or list(theirs) == list(own):
        return []
    if len(theirs) != len(own) or not own:
        return []  # layers for classes do not fit, as was said
    names = ", ".join(map(str, theirs[:NAMED])) + (", …" if len(theirs) > NAMED else "")
    return [f"init: {init} was trained for other classes ({names}), and its head is taken too"]


def _overwritten(case: Case) -> list[str]:
    """Weights that are fetched or read first, and then replaced."""
    backbone = case.config["backbone"]
    asked = [key for key in ("pretrained", "checkpoint", "weights") if backbone.get(key)]
    words = " and ".join(f"backbone.{key}={backbone[key]}" for key in asked)
    return [f"init is put over the weights of {words}"] if asked else []
