"""What a trained run says of the samples of one of its own splits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from vit.data.core.membership import positions_of, splits_of
from vit.data.core.samples import SampleData
from vit.faults import Fault, Refused
from vit.jobs.prediction import predict, predict_texts
from vit.runs.directory import RunFolder
from vit.runs.files import read_json
from vit.runs.splits import Splits, read_splits, splits_file
from vit.tasks.assembly import assemble_data
from vit.tasks.stored import stored_config


def predict_split(
    run_dir: str,
    split: str,
    checkpoint: str,
    device: str,
    allow_targets: Iterable[str] = (),
    skip_bad: bool = False,
    out: str | None = None,
    threshold: float = 0.0,
    vectors: str | None = None,
) -> dict[str, Any]:
    """As `predict` and `predict_texts` of these samples, in the split's order; `split` besides.

    The samples are those that the run's splits.json names, whatever the data would be cut into
    today. Raises Refused where it names none, or the data have them no more.
    """
    allow_targets = tuple(allow_targets)
    try:
        config = stored_config(RunFolder(Path(run_dir)), allow_targets, only=("data",))
        data = assemble_data(config, allow_targets)
        splits = _recorded(Path(run_dir), data)
        if split not in splits.members:
            known = ", ".join(splits.members)
            raise Refused([Fault("--split", f"this run has no {split!r}, only {known}")])
        source, positions = positions_of(data, splits, split)
    except (ValueError, OSError) as error:
        raise Refused([Fault("data", str(error))]) from error
    answer: dict[str, Any]
    if data.unit == "text":
        texts = [source.texts[at] for at in positions.tolist()]
        answer = predict_texts(run_dir, texts, checkpoint, device, allow_targets, vectors)
        for row, position in zip(answer["texts"], positions.tolist(), strict=True):
            row["sample"] = source.name(position)
        return {**answer, "split": split}
    opened = None
    if hasattr(source, "path"):
        paths = [str(source.path(at)) for at in positions.tolist()]
    else:
        by_name = {source.name(at): at for at in positions.tolist()}
        paths = list(by_name)

        def opened(path: Path) -> Image.Image:
            return source.read(by_name[str(path)], channels=3)

    more = (allow_targets, skip_bad, out, threshold)
    answer = predict(run_dir, paths, checkpoint, device, *more, opened=opened, vectors=vectors)
    return {**answer, "split": split}


def _recorded(run_dir: Path, data: SampleData) -> Splits:
    """What the run wrote down; of one from before there was splits.json, as its data are cut now.

    Where samples have numbers and no names, other data would pass unnoticed: then the fingerprint
    must be the run's.
    """
    splits = read_splits(run_dir)
    if splits is not None and splits.named_by == "file":
        return splits
    file = splits_file(run_dir)
    if splits is None and (file.exists() or file.with_name(f"{file.name}.gz").exists()):
        message = "cannot be read, so nobody knows which samples are in the split"
        raise Refused([Fault(str(file), message)])
    stamp = (read_json(RunFolder(run_dir).stamp_file) or {}).get("data")
    before = stamp.get("fingerprint") if isinstance(stamp, dict) else None
    now = data.fingerprint()
    if before is not None and before != now:
        message = f"are not those of the run any more (fingerprint {before} → {now}), and "
        message += f"{splits_file(run_dir).name} gives numbers" if splits else "it names no samples"
        raise Refused([Fault("data", message)])
    return splits or splits_of(data)
