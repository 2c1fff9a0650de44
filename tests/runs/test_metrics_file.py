from vit.runs.record import Recorder, read_records


def test_the_last_write_of_a_step_wins_key_by_key(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = Recorder(path)
    first.write(1, 0, {"train/loss": 2.0}, {"seconds": 1.0})
    first.write(2, 0, {"train/loss": 1.0}, {})
    again = Recorder(path)
    again.write(2, 0, {"train/loss": 0.5}, {})
    again.write(2, 0, {"val/accuracy": 0.9}, {})
    records = read_records(path)
    assert [record.step for record in records] == [1, 2]
    assert records[1].metrics == {"train/loss": 0.5, "val/accuracy": 0.9}


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path):
    path = tmp_path / "metrics.jsonl"
    Recorder(path).write(1, 0, {"a": 1.0}, {})
    with path.open("a") as file:
        file.write('{"step": 2, "epo')
    Recorder(path).write(3, 0, {"a": float("nan")}, {})
    records = read_records(path)
    assert [record.step for record in records] == [1, 3]
    assert records[1].metrics == {"a": "nan"}


def test_each_line_is_on_disk_before_the_next(tmp_path):
    path = tmp_path / "metrics.jsonl"
    recorder = Recorder(path)
    recorder.write(1, 0, {"a": 1.0}, {})
    assert len(path.read_text().splitlines()) == 1


def test_a_line_that_is_no_record_is_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    Recorder(path).write(1, 0, {"a": 1.0}, {})
    with path.open("ab") as file:
        file.write(b'{"step": 2, "metrics": {"a": 2}, "timing": {}}\n')  # no epoch
        file.write(b'{"step": 3, "epoch": 0, "metrics": 5, "timing": {}}\n')
        file.write(b'{"step": 1e999, "epoch": 0, "metrics": {}, "timing": {}}\n\xff\xfe\n[]\n')
    assert [record.step for record in read_records(path)] == [1]
