"""The command's arguments."""

from __future__ import annotations

import argparse

import pytest

from embedrt_bench import cli
from embedrt_bench.errors import BenchError


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(arguments)


def test_defaults() -> None:
    args = parse()
    assert args.model is None
    assert args.against == ["onnxruntime"]
    assert args.threads is None
    assert args.workloads is None
    assert args.parts is None


def test_lists_are_comma_separated() -> None:
    args = parse("m.embedrt", "--threads", "1,2", "--workloads", "short,128", "--parts", "fresh", "--rounds", "3")
    assert (args.model, args.threads, args.rounds) == ("m.embedrt", [1, 2], 3)
    assert (args.workloads, args.parts) == (["short", "128"], ["fresh"])


def test_several_peers() -> None:
    assert parse("--against", "onnxruntime,openvino").against == ["onnxruntime", "openvino"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--against", "nothing"), "no 'nothing': there are onnxruntime, openvino"),
        (("--threads", "0"), "'0' is not a positive number"),
        (("--rounds", "many"), "'many' is not a positive number"),
        (("--workloads", "short,64"), "no '64'"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert message in capsys.readouterr().err


def test_workloads_of_images_have_names_of_their_own() -> None:
    assert parse("--workloads", "pixels-8,files-1").workloads == ["pixels-8", "files-1"]


def test_what_this_kind_of_model_does_not_have_is_refused() -> None:
    known = ("throughput", "quality")
    assert cli.chosen(None, known, "part") == ["throughput", "quality"]
    assert cli.chosen(["quality"], known, "part") == ["quality"]
    with pytest.raises(BenchError, match="this model has no part fresh: there are throughput, quality"):
        cli.chosen(["quality", "fresh"], known, "part")


def test_a_peak_is_of_the_machine_and_not_of_a_model() -> None:
    assert not parse().peak
    with pytest.raises(BenchError, match=r"leave m\.embedrt out"):
        cli.run(parse("--peak", "m.embedrt"))
