"""Rounds and their arithmetic, with a clock that only the work moves."""

from __future__ import annotations

from functools import partial

from embedrt_bench import harness
from embedrt_bench.harness import Sample


class FakeClock:
    def __init__(self) -> None:
        self.wall = 0.0
        self.cpu = 0.0
        self.log: list[str] = []

    def work(self, name: str, wall: float, threads: float) -> None:
        self.log.append(name)
        self.wall += wall
        self.cpu += wall * threads

    def settle(self) -> None:
        self.log.append("settle")
        self.wall += 100.0  # waiting must not be counted


def run(clock: FakeClock, rounds: int, seconds: float) -> dict[str, list[Sample]]:
    contestants = {
        "fast": partial(clock.work, "fast", 0.5, 2.0),
        "slow": partial(clock.work, "slow", 1.0, 1.0),
    }
    return harness.run_rounds(
        contestants, rounds, seconds, wall=lambda: clock.wall, cpu=lambda: clock.cpu, settle=clock.settle
    )


def test_a_turn_repeats_until_its_time_is_over_and_averages() -> None:
    samples = run(FakeClock(), rounds=1, seconds=1.25)
    assert samples == {"fast": [Sample(0.5, 1.0)], "slow": [Sample(1.0, 1.0)]}


def test_contestants_take_turns_and_every_other_round_goes_backwards() -> None:
    clock = FakeClock()
    run(clock, rounds=3, seconds=0.0)
    assert clock.log[0::2] == ["settle"] * 6
    assert clock.log[1::2] == ["fast", "slow", "slow", "fast", "fast", "slow"]


def test_the_best_turn_counts_and_tells_how_many_threads_worked() -> None:
    summary = harness.summarise([Sample(2.0, 2.0), Sample(1.0, 1.5), Sample(4.0, 4.0)])
    assert summary == (1.0, 2.0, 1.5)
