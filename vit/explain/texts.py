"""Texts through a trained run, and which tokens looked at which."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vit.explain.attend import chosen_layers, class_number
from vit.explain.files import write
from vit.explain.record import Look, recorded
from vit.explain.relevance import relevance, rollout
from vit.facts import TextFacts
from vit.faults import Fault, Refused
from vit.models.generation import greedy
from vit.models.sequence import TextClassifier
from vit.structures import END, START
from vit.tasks.texts import tokens_of
from vit.trained import Trained, load


def attend_texts(
    run_dir: str,
    texts: list[str],
    checkpoint: str,
    device: str,
    allow_targets: Iterable[str],
    out: str,
    layers: list[int],
    class_name: str | None,
) -> dict[str, Any]:
    """Writes attend.html and attend.json into `out`; answers with the latter's content.

    Maps have `name`, labels of `rows` and `columns`, and `values`. Rows look, columns are looked
    at. Of a model that writes, the text is the likeliest token each time.
    """
    trained = load(run_dir, checkpoint=checkpoint, device=device, allow_targets=allow_targets)
    if not isinstance(trained.facts, TextFacts):
        raise Refused([Fault(run_dir, "reads no texts; wanted files")])
    if empty := [number for number, text in enumerate(texts, start=1) if not text.strip()]:
        raise Refused([Fault("--text", f"number {empty[0]} is empty")])
    writes = not isinstance(trained.model, TextClassifier)
    if writes and class_name is not None:
        raise Refused([Fault("--class", "is for runs that tell classes; this one writes texts")])
    label = class_number(trained.class_names, class_name)
    rows = chosen_layers(layers, trained.model)
    records = []
    for text in texts:
        tokens = tokens_of(trained, [text])
        own = _written(trained, tokens) if writes else _classified(trained, tokens, label)
        own["maps"] = [each for each in own["maps"] if each.pop("layer", rows[0]) in rows]
        records.append({"input": text, **own})
    return write(Path(out), {"run": run_dir, "texts": records})


def _classified(trained: Trained, tokens: Tensor, label: int | None) -> dict[str, Any]:
    with recorded(trained.model) as recording, torch.enable_grad():
        logits = trained.model(tokens)[0].float()
    label = int(logits.argmax()) if label is None else label
    found = relevance(recording, logits[label])
    if found.cross is not None:
        counts = found.cross[0].mean(0)
    else:
        counts = (found.own[0] - torch.eye(found.own.shape[-1], device=tokens.device)).mean(0)
    pieces = _pieces(trained, tokens[0].tolist())
    name = trained.class_names[label]
    return {
        "class": name,
        "probability": float(logits.detach().softmax(-1)[label]),
        "maps": [
            _map(f"relevance for {name}", [name], pieces, counts[None]),
            _map("rollout", pieces, pieces, rollout(recording.backbone)[0]),
            *_layers(recording.backbone, pieces, pieces),
        ],
    }


def _written(trained: Trained, tokens: Tensor) -> dict[str, Any]:
    model: Any = trained.model
    written = greedy(model, tokens, trained.facts.max_target_tokens)[0].tolist()
    written = written[: written.index(END) + 1] if END in written else written
    given = torch.tensor([[START, *written[:-1]]], device=tokens.device)
    with recorded(model) as recording, torch.enable_grad():
        logits = model(tokens, given)[0].float()
    counts = []
    for at, token in enumerate(written):
        found = relevance(recording, logits[at, token], keep_graph=True)
        assert found.cross is not None
        counts.append(found.cross[0, at])
    source, target = (_pieces(trained, row) for row in (tokens[0].tolist(), written))
    return {
        "text": trained.transform.decode([written])[0],
        "maps": [
            _map("relevance of what was read", target, source, torch.stack(counts)),
            _map("cross-attention, last layer", target, source, _mean(recording.cross[-1])),
            *_layers(recording.backbone, source, source),
        ],
    }


def _layers(looks: list[Look], rows: list[str], columns: list[str]) -> list[dict[str, Any]]:
    return [
        {**_map(f"attention, layer {number}", rows, columns, _mean(look)), "layer": number}
        for number, look in enumerate(looks)
    ]


def _mean(look: Look) -> Tensor:
    return look.weights[0].detach().mean(0)


def _map(name: str, rows: list[str], columns: list[str], values: Tensor) -> dict[str, Any]:
    return {"name": name, "rows": rows, "columns": columns, "values": values.tolist()}


def _pieces(trained: Trained, row: list[int]) -> list[str]:
    return [piece.replace("▁", " ").strip() or "␣" for piece in trained.transform.pieces(row)]
