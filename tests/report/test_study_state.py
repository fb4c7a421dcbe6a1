"""How far a study is: states and hours by what finished runs took, worked out by hand."""

from pathlib import Path

from flix_lightning.report.comparison import is_run_of
from flix_lightning.report.study_state import state, step_seconds
from flix_lightning.training.runs import RUNNING, STOPPED, Found


def config(model="tiny", mixture="joint", steps=100, **more):
    return {
        "name": "joint-flix",
        "seed": 0,
        "model": {"_target_": f"flix_lightning.models.load_{model}"},
        "benchmark": {"_target_": "flix_lightning.Cldr"},
        "mixture": {"name": mixture},
        "data": {"batch_size": 32},
        "adapter": {"name": "flix"},
        "trainer": {"max_steps": steps, "precision": "auto"},
        **more,
    }


def record(seconds, steps=100, **settings):
    return {"config": config(**settings), "seconds": seconds, "steps": steps}


RECORDS = [
    record(100.0),  # 1 s a step
    record(900.0, steps=300),  # 3 s
    record(50.0, mixture="ner"),  # 0.5 s
    record(1.0, model="other"),
    {"config": config(), "steps": 100},  # from before seconds were kept
]


def test_runs_of_the_same_kind_say_how_long_a_step_takes_else_those_of_the_same_model():
    assert step_seconds(config(), RECORDS) == 2.0
    assert step_seconds(config(mixture="ner"), RECORDS) == 0.5
    assert step_seconds(config(mixture="new"), RECORDS) == 1.0
    assert step_seconds(config(model="third"), RECORDS) is None


def test_the_line_of_a_study():
    missing = [config(steps=1000), config(steps=2000), config(steps=600)]
    found = [
        Found(Path("a"), RUNNING, "after step 500", missing[0], None, 500),
        Found(Path("b"), STOPPED, "at step 100", missing[2], None, 100),
    ]
    assert state(missing, found, RECORDS) == (", 1 running, 1 stopped; about 1 h 40 min left", 2.0 * 3000)
    assert state([], [], RECORDS) == ("", 0.0)
    assert state([*missing, config(model="third")], [], RECORDS) == ("; time unknown", None)


def test_a_record_is_of_the_config_that_it_was_run_with_whatever_auto_became():
    done = {**record(1.0), "precision": "32-true"}
    assert is_run_of(done, config())
    assert not is_run_of(done, config(trainer={"max_steps": 100, "precision": "bf16-mixed"}))
    assert not is_run_of(done, config(model="other"))
