"""Structure only, as for the models."""

import json
import math

from vit.bench import loop


def test_every_loop_has_a_row_and_finite_differences():
    result = loop.compare(rounds=2, steps=10)
    assert [row.loop for row in result.rows] == [loop.BARE, loop.STOCK, loop.LOGGING, loop.OURS]
    for row in result.rows:
        assert row.step_ms > 0
        assert all(map(math.isfinite, (*row.over_bare, *row.over_stock)))
    assert result.rows[0].over_bare == (0.0, 0.0, 0.0)
    assert result.rows[1].over_stock == (0.0, 0.0, 0.0)
    json.dumps(result.as_json(), allow_nan=False)


def test_our_loop_trains_and_records_its_five_metrics(tmp_path):
    batches = loop.Batches(loop.LOG_EVERY)
    with loop.silence():
        loop.train_ours(batches, tmp_path)
    record = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert record["step"] == loop.LOG_EVERY
    names = {"train/loss", "train/accuracy", "train/largest", "train/smallest", "train/mean"}
    assert names <= set(record["metrics"])
