"""The points of a sweep are those of Hydra's own sweeper, for all of its grammar."""

import argparse

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from vit.cli.compose import add_compose_arguments, compose_runs, composer
from vit.cli.grammar import read_words
from vit.cli.sweep_request import with_params
from vit.faults import Refused
from vit.sweeps.words import grid

# One line is one command.
COMMANDS = """
seed=1
seed=1,2,3
seed=1,2 backbone.depth=4,5
seed=choice(1,2)
seed=choice(1)
seed=range(3)
seed=range(1,4)
seed=range(0,10,5)
seed=range(start=1,stop=8,step=3)
seed=range(5,1,-2)
optim.lr=range(0.1,0.5,0.1)
optim.lr=1e-3,3e-4
optim.lr=.1,1.,inf
name=a,b
name=a_b,c-d,e.f,g/h,x:y
name='one, two',three
name="one two",'three four'
name='it\\'s',plain
name="say \\"a\\"",b
name=null,true,false
name=a\\,b,c
name=a b,c
name=${seed},${backbone.depth}
data.image_size=[32,32],[64,64]
data.image_size=[32,32]
data.image_size=choice([32,48],64)
data.mean=[[1,2],[3]],[]
backbone.position={a:1,b:2},{a:[3]}
backbone.position=choice({a:1},{b:{c:2}})
backbone.position={a:'x y',b:"z"}
+new=1,2
+new.deep=a,b seed=1
++seed=1,2
++optim.lr=range(1,3)
~seed
~seed=0
~seed=1,2
data@other=digits,cifar10
data@a.b=digits,folder
backbone/norm@backbone.norm=layer_norm,rms_norm
backbone/position=glob(*)
backbone/position=glob(s*)
backbone/position=glob([r*,s*])
backbone/position=glob(*,exclude=s*)
backbone/position=glob(exclude=[r*,n*],include=*)
data=glob(*dig*) seed=0,1
data/augment=glob(*)
seed=sort(3,1,2)
seed=sort(3,1,2,reverse=true)
seed=sort(choice(3,1,2))
seed=sort(range(5),reverse=true)
name=sort(c,a,b)
name=sort([c,a,b])
data.image_size=sort([64,32],reverse=true)
seed=tag(a,b,choice(1,2))
seed=tag(only,range(2))
seed=int(3.9)
seed=int(1,2.5)
seed=int([1.5,2])
optim.lr=float(1,2)
optim.lr=float(range(1,3))
name=str(1,2)
name=str([1,2]),x
name=str(choice(1,2.5))
compile=bool(0,1)
compile=bool(true)
name=''
name=
seed=1,2 seed=3
seed=3 seed=1,2
seed=1,2 name=x seed=4,5
hydra.sweep.dir=a,b
sweep.name=x seed=0,1
optim=adamw,sgd optim.lr=1,2 seed=range(2)
seed=shuffle(1,2,3)
seed=shuffle(range(4))
name=shuffle(choice(a,b))
""".strip().splitlines()
REFUSED = """
seed=[1,2
seed=choice(
seed=interval(3,1)
optim.lr=tag(log,interval(-1,1))
seed=int(a)
name=,a
name=json_str({a:1}),b
data.mean=extend_list(1,2)
seed=range(1,2,0)
seed=nope(1,2)
seed==1,2
data.mean={a:1
backbone/position=glob(zzz*)
seed=range(5,1)
seed=sort(1,a)
data=glob(*,exclude=*)
""".strip().splitlines()
SEARCHED = {
    "optim.lr=interval(0.1,1)": (0.1, 1.0, False, False),
    "optim.lr=tag(log,interval(0.001,1))": (0.001, 1.0, True, False),
    "backbone.depth=int(interval(2,8))": (2, 8, False, True),
    "optim.lr=float(interval(1,3))": (1.0, 3.0, False, False),
    "optim.lr=interval(start=1,end=3)": (1.0, 3.0, False, False),
}


@pytest.fixture(scope="module")
def composing():
    parser = argparse.ArgumentParser()
    add_compose_arguments(parser)
    with composer(parser.parse_args([])) as compose_one:
        yield compose_one


def words_of(command):
    """One word, or several that a blank and a key divide."""
    parts: list[str] = []
    for part in command.split(" "):
        if parts and "=" not in part.strip("\"'"):
            parts[-1] += f" {part}"
        else:
            parts.append(part)
    return parts


def meaning(parser, point):
    parsed = [parser.parse_override(word) for word in point]
    return {
        (item.type, item.package, item.key_or_group): repr(item.value()) for item in parsed
    }.items()


def points(parser, found):
    return [set(meaning(parser, point)) for point in found]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_grid_has_the_points_of_hydras_own_sweeper(composing, command):
    parser = OverridesParser.create(config_loader=composing.groups)
    words = words_of(command)
    (theirs,) = BasicSweeper.split_arguments(parser.parse_overrides(words), None)
    ours = points(parser, grid(read_words(words, composing.groups)))
    wanted = points(parser, theirs)
    assert len(ours) == len(wanted) > 0
    assert all(point in wanted for point in ours) and all(point in ours for point in wanted)
    assert [ours.count(point) for point in wanted] == [wanted.count(point) for point in wanted]


@pytest.mark.parametrize("command", REFUSED)
def test_what_is_no_grammar_or_has_no_point_is_refused_in_words(composing, command):
    with pytest.raises(Refused) as refused:
        read_words([command], composing.groups)
    (fault,) = refused.value.faults
    assert "Traceback" not in str(fault) and len(str(fault)) < 400


@pytest.mark.parametrize("command", SEARCHED)
def test_an_interval_is_a_range_to_search_in(composing, command):
    words = read_words([command], composing.groups)
    (span,) = words.ranges.values()
    assert (span.low, span.high, span.log, span.whole) == SEARCHED[command]
    assert not words.axes and not words.fixed


def test_values_of_sweep_params_are_words_of_the_same_grammar(composing):
    given = {
        "backbone/position": "glob(r*)",
        "data.mean": [[None, True, 1.5]],
        "x": [{"a": [1, None]}],
        "seed": [1, 2],
    }
    words = with_params(read_words([]), given, composing.groups)
    assert words.axes["backbone/position"] and words.axes["seed"] == ["1", "2"]
    parser = OverridesParser.create()
    fixed = {word.partition("=")[0]: parser.parse_override(word).value() for word in words.fixed}
    assert fixed == {"data.mean": [None, True, 1.5], "x": {"a": [1, None]}}


def test_glob_finds_the_configs_of_the_users_own_folder(tmp_path, monkeypatch):
    norm = tmp_path / "conf" / "backbone" / "norm"
    norm.mkdir(parents=True)
    (norm / "mine.yaml").write_text("_target_: vit.layers.norm.RMSNorm\n_partial_: true\n")
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    add_compose_arguments(parser)
    asked = parser.parse_args(["-m", "backbone/norm=glob(*)"])
    shipped = {run.overrides[0] for run in compose_runs(asked)}
    assert "backbone/norm=mine" in shipped and "backbone/norm=layer_norm" in shipped
