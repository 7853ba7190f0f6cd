"""The planner: from whatever is there to what is wanted, however often interrupted, and nothing else is touched."""

from __future__ import annotations

import random
from typing import Any

import pytest

from damod.policy.plan import Add, Repair, Running, Start, Step, Stop, Tune, Wish, plan
from damod.spec.diff import Change
from damod.spec.kdamond import Kdamond, parse_kdamonds

World = dict[str, dict[int, Running]]
DRIFT = (Change("kdamonds[0].contexts[0].schemes[0].quotas.sz_bytes", 1, 2),)


def kdamonds(*samples: int) -> tuple[Kdamond, ...]:
    return parse_kdamonds([{"contexts": [{"intervals": {"sample_us": sample, "aggr_us": "1s"}}]} for sample in samples])


def do(step: Step, world: World) -> World:
    """What the owner makes of a step; it refuses what makes no sense."""
    world = {name: dict(running) for name, running in world.items()}
    running = world.setdefault(step.name, {})
    if isinstance(step, Stop):
        assert running
        for index in list(running) if step.index is None else [step.index]:
            del running[index]
    elif isinstance(step, Start):
        assert not running
        running.update({index: Running(spec) for index, spec in enumerate(step.kdamonds)})
    elif isinstance(step, Add):
        assert running and step.index not in running
        running[step.index] = Running(step.kdamond)
    elif isinstance(step, Tune):
        assert len(running) == len(step.kdamonds)
        running.update({index: Running(spec) for index, spec in enumerate(step.kdamonds)})
    elif isinstance(step, Repair):
        assert any(item.drift for item in running.values())
        running.update({index: Running(item.spec) for index, item in running.items()})
    return {name: items for name, items in world.items() if items}


def halves(step: Step, world: World) -> list[World]:
    """The worlds that a crash inside of a step can leave: some kdamonds of the set done, the others not."""
    left = []
    if isinstance(step, Start):
        left += [
            {**world, step.name: {index: Running(step.kdamonds[index]) for index in range(count)}}
            for count in range(1, len(step.kdamonds))
        ]
    if isinstance(step, Tune):
        for count in range(1, len(step.kdamonds)):
            some = {index: Running(step.kdamonds[index]) for index in range(count)}
            left.append({**world, step.name: {**world[step.name], **some}})
    if isinstance(step, Stop) and step.index is None and len(world[step.name]) > 1:
        left.append({**world, step.name: dict(list(world[step.name].items())[1:])})
    return left


def steps(world: World, wanted: dict[str, Wish]) -> list[Step]:
    return plan(world, wanted, sorted(wanted))


def settle(world: World, wanted: dict[str, Wish]) -> World:
    """Plan and do until there is nothing to do, which must be after one round."""
    for step in steps(world, wanted):
        world = do(step, world)
    assert steps(world, wanted) == []
    return world


def is_as_wanted(world: World, wanted: dict[str, Wish]) -> bool:
    return world == {
        name: {index: Running(spec) for index, spec in enumerate(wish.kdamonds)} for name, wish in wanted.items()
    }


NAMES = [f"p{number}" for number in range(10)]


def random_wishes(rng: random.Random) -> dict[str, Wish]:
    return {name: Wish(kdamonds(*rng.choices([1, 2, 3], k=rng.randint(1, 3)))) for name in NAMES if rng.random() < 0.8}


@pytest.mark.parametrize("seed", range(40))
def test_every_interrupted_step_of_every_transition_converges(seed: int) -> None:
    """Between any two sets of ten policies: killed after each step, or inside of one, planning again gets there, and
    what did not change is never in a step."""
    rng = random.Random(seed)
    before, after = random_wishes(rng), random_wishes(rng)
    for name in rng.sample(NAMES, 4):
        if name in before:
            after[name] = before[name]
    world = settle({}, before)
    for name in rng.sample(sorted(world), 2):
        spec = world[name][0].spec
        world[name][0] = Running(spec, DRIFT)
    if len(world[victim := rng.choice(sorted(world))]) > 1:
        del world[victim][0]
    untouched = {
        name
        for name in before
        if before[name] == after.get(name) and is_as_wanted({name: world[name]}, {name: before[name]})
    }
    todo = steps(world, after)
    assert not untouched & {step.name for step in todo}
    for step in todo:
        for broken in [world, *halves(step, world)]:
            again = settle(broken, after)
            assert is_as_wanted(again, after)
            assert not untouched & {item.name for item in steps(broken, after)}
        world = do(step, world)
    assert is_as_wanted(world, after)


def test_what_makes_room_comes_first() -> None:
    """Sets that go are stopped before others change or start."""
    world = settle({}, {"old": Wish(kdamonds(1)), "same": Wish(kdamonds(1, 2))})
    found = steps(world, {"new": Wish(kdamonds(1)), "same": Wish(kdamonds(2))})
    kinds: list[Any] = [type(step) for step in found]
    assert kinds == [Stop, Stop, Tune, Start]


def test_drift_is_repaired_only_if_wanted() -> None:
    """With `report` somebody else's change stays, and no step is made of it."""
    world = {"a": {0: Running(kdamonds(1)[0], DRIFT)}}
    assert steps(world, {"a": Wish(kdamonds(1))}) == [Repair("a")]
    assert steps(world, {"a": Wish(kdamonds(1), repair=False)}) == []


def test_sets_that_are_kept_have_no_step() -> None:
    """A set whose file is wrong just now is neither stopped nor changed."""
    world = {"a": {0: Running(kdamonds(1)[0])}}
    assert plan(world, {}, [], keep=["a"]) == []
