"""The Gymnasium environment keeps Gymnasium's rules, and ours: the reward comes at the end, from the grader."""

from __future__ import annotations

import copy
import functools
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest

import solvers
from fhirtasks.episodes.environment import ROUNDS, run_solver
from fhirtasks.errors import UserError
from tests.small_releases import FAMILIES, release

gymnasium = pytest.importorskip("gymnasium", reason="needs the gym extra")
gym = pytest.importorskip("fhirtasks.environments.gym")


def made(folder: Path, **options: Any) -> Any:
    return gymnasium.make(gym.NAME, release=str(folder), **options).unwrapped


def expert_raws(env: Any, task_id: str) -> tuple[str, ...]:
    environment = env._spec.source.open(task_id)
    return run_solver(solvers.solver(environment.task.family), environment.task, environment).raws


@pytest.mark.parametrize("protocol", sorted(FAMILIES))
def test_gymnasium_finds_nothing_wrong(protocol: str) -> None:
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(made(release(protocol), render_mode="ansi"))


@pytest.mark.parametrize("protocol", sorted(FAMILIES))
def test_an_expert_is_rewarded_at_the_end_and_only_there(protocol: str) -> None:
    env = made(release(protocol), render_mode="ansi")
    prompt, info = env.reset(seed=5)
    assert prompt == info["messages"][0]["content"] and info["protocol"] == protocol
    raws = expert_raws(env, info["task_id"])
    for raw in raws[:-1]:
        shown, reward, terminated, truncated, info = env.step(raw)
        assert shown and (reward, terminated, truncated) == (0.0, False, False)
        assert env.observation_space.contains(shown) and shown in env.render()
    _, reward, terminated, truncated, info = env.step(raws[-1])
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["verdict"]["passed"] and info["components"]["outcome"] == 1.0
    with pytest.raises(UserError, match="reset the environment"):
        env.step(raws[-1])


def test_options_choose_the_task_and_seeds_repeat_it() -> None:
    env = made(release("text"))
    for family in FAMILIES["text"]:
        assert {env.reset(options={"family": family})[1]["family"] for _ in range(5)} == {family}
    task = env.reset(seed=1)[1]["task_id"]
    assert env.reset(seed=1)[1]["task_id"] == task
    assert env.reset(options={"task_id": task})[1]["task_id"] == task
    assert len({env.reset()[1]["task_id"] for _ in range(40)}) > 4
    with pytest.raises(UserError, match="No task has branch 'dreamt'"):
        env.reset(options={"branch": "dreamt"})


def test_the_round_limit_truncates() -> None:
    env = made(release("text"))
    _, info = env.reset(seed=2)
    read = expert_raws(env, info["task_id"])[0]
    steps = [env.step(read) for _ in range(ROUNDS["clinical"])]
    assert [step[2:4] for step in steps] == [(False, False)] * (len(steps) - 1) + [(False, True)]
    assert steps[-1][1] == 0.0 and steps[-1][0], "the last action is still answered"


def test_text_that_is_no_action_ends_the_episode() -> None:
    env = made(release("text"))
    env.reset(seed=2)
    _, reward, terminated, truncated, info = env.step("I would rather not.")
    assert (reward, terminated, truncated) == (0.0, True, False) and not info["verdict"]["passed"]


def test_spaces_hold_every_script() -> None:
    env = made(release("text"))
    assert env.action_space.contains("µmol/L ≥ 3 ü 漢") and not env.action_space.contains(3)
    env.action_space.seed(0)
    assert all(env.action_space.contains(env.action_space.sample()) for _ in range(20))


def test_vector_environments_play_as_one_does_also_in_processes() -> None:
    folder = release("text")
    one = made(folder)
    prompt, info = one.reset(seed=2)
    raws = expert_raws(one, info["task_id"])  # the world is open in this process before others are started
    shown = [prompt, *(one.step(raw)[0] for raw in raws)]
    makers = [lambda: gymnasium.make(gym.NAME, release=str(folder))] * 2
    with pytest.raises(ValueError, match="shared_memory=False"):
        gymnasium.vector.AsyncVectorEnv(makers)
    in_processes = functools.partial(gymnasium.vector.AsyncVectorEnv, shared_memory=False)
    for kind in (gymnasium.vector.SyncVectorEnv, in_processes):
        many = kind(makers)
        try:
            found = [many.reset(seed=[2, 2])[0]]
            for raw in raws:
                observations, rewards, *_ = many.step((raw, raw))
                found.append(observations)
            assert found == [(text, text) for text in shown] and list(rewards) == [1.0, 1.0]
        finally:
            many.close()


def test_an_environment_is_copied_to_where_it_stands_before_an_episode() -> None:
    env = made(release("tools"))
    task = env.reset(seed=3)[1]["task_id"]
    for copied in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        with pytest.raises(UserError, match="reset the environment"):
            copied.step("")
        assert copied.reset(seed=3)[1]["task_id"] == task
    assert env.step(expert_raws(env, task)[0])[0]  # the original goes on
    with pytest.raises(UserError, match="An action is a text"):
        env.step(None)
