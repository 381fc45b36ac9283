"""Compare the daemon's speed with a bare inference loop, stage by stage."""

import argparse
import hashlib
import json
import logging
import sys
from typing import TYPE_CHECKING, Any, Final

from tqdm import tqdm

from edgepose.commands import add_interpreters, add_threads, count, ranged
from edgepose.config.schema import Camera, Config, Device, Metrics, Model, Mqtt, Web
from edgepose.errors import UsageError
from edgepose.models import catalog

if TYPE_CHECKING:
    from edgepose.measure import benchmark, scaling

SWITCH_S: Final = 0.0005  # seconds, the same value as in the daemon
MARKS: Final = (200, 500, 1000, 2000)  # frames after which memory is measured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "-m", "--model", metavar="NAME", default=catalog.DEFAULT, help="the model to measure"
    )
    parser.add_argument(
        "--policy", choices=("auto", "whole", "follow"), default="auto", help="area to process"
    )
    parser.add_argument("--source", metavar="URI", default="demo://", help="a video; default demo")
    parser.add_argument("--mqtt", metavar="URL", default="", help="a broker; default: mosquitto")
    add_threads(parser)
    add_interpreters(parser)
    parser.add_argument(
        "--frames",
        type=ranged(int, 1),
        default=300,
        metavar="N",
        help="frames in each round; default 300",
    )
    parser.add_argument(
        "--rounds",
        type=ranged(int, 1),
        default=5,
        metavar="N",
        help="daemon and bare loop in turns; default 5",
    )
    parser.add_argument(
        "--scaling",
        action="store_true",
        help="measure the machine's best bare rate, and the daemon's share of it with 1, 2 and 4"
        " cameras",
    )
    parser.add_argument(
        "--latency",
        action="store_true",
        help="measure the time from capture to another MQTT client, at the source's own rate",
    )
    parser.add_argument("--memory", action="store_true", help="measure memory and start-up, too")
    parser.add_argument(
        "--marks",
        type=ranged(int, 1),
        nargs="+",
        default=MARKS,
        metavar="N",
        help=f"with --memory: measure memory after N frames; default {' '.join(map(str, MARKS))}",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure one model and print the results."""
    if catalog.model_set(args.model).refiner is not None:
        msg = f"bench: {args.model} is several models; expected one, to compare with its bare loop"
        raise UsageError(msg)
    from edgepose.measure import benchmark
    from edgepose.pose import preprocess
    from edgepose.system import process

    process.configure_malloc()
    sys.setswitchinterval(SWITCH_S)
    preprocess.use_one_thread()
    logging.getLogger("edgepose").setLevel(logging.WARNING)
    if args.scaling:
        return _run_scaling(args)
    if args.latency:
        return _run_latency(args)
    with benchmark.broker(args.mqtt) as url:
        config = _bench_config(args, url)
        rounds = benchmark.measure(config, frames=args.frames, rounds=args.rounds)
        for found in tqdm(rounds, total=args.rounds + 1, disable=not sys.stderr.isatty()):
            result = found
        whole = benchmark.whole_process(config, args.marks) if args.memory else None
    assert isinstance(result, benchmark.Result)
    report = _make_report(args, result, whole)
    print(json.dumps(report, indent=2) if args.json else _report_page(report))
    return 0


def _run_scaling(args: argparse.Namespace) -> int:
    from edgepose.measure import benchmark, scaling

    with benchmark.broker(args.mqtt) as url:
        found = scaling.measure(_bench_config(args, url), frames=args.frames, rounds=args.rounds)
        *_, result = tqdm(found, disable=not sys.stderr.isatty())
    assert isinstance(result, scaling.Scaling)
    if args.json:
        about = {"model": args.model, "source": args.source, "frames": args.frames}
        print(json.dumps(about | scaling.summary(result), indent=2))
    else:
        print(_scaling_page(args.model, result))
    return 0


def _run_latency(args: argparse.Namespace) -> int:
    from edgepose.measure import benchmark, latency

    with benchmark.broker(args.mqtt) as url:
        found = latency.summary(latency.measure(_bench_config(args, url), args.frames))
    if args.json:
        about = {"model": args.model, "source": args.source, "frames": args.frames}
        print(json.dumps(about | {"machine": benchmark.machine()} | found, indent=2))
    else:
        print(f"{args.model}: milliseconds from capture to another client of the broker")
        for name, parts in found.items():
            shown = "".join(f"{part:>8} {ms:7.2f}" for part, ms in parts.items())
            print(f"{name.removesuffix('_ms'):<12}{shown}")
    return 0


def _scaling_page(model: str, result: "scaling.Scaling") -> str:
    """Return the table of the best rounds: disturbances only make a round slower."""
    lines = [
        f"{model}, interpreters x threads, best of {len(result.daemon[0].samples)} rounds",
        "",
        f"{'bare':<12}{'rate':>12}{'CPU a frame':>14}",
    ]
    for entry in result.bare:
        lines.append(f"{entry.arrangement!s:<12}{entry.best_hz:>9.1f} Hz{entry.cpu_ms:>11.2f} ms")
    best = f"of {result.best.arrangement}"
    lines += ["", f"{'daemon':<12}{'rate':>12}{'CPU a frame':>14}{best:>12}{'by CPU':>9}"]
    for entry in result.daemon:
        cameras = count(entry.cameras, "camera")
        shares = f"{result.share(entry):>12.2f}{result.cpu_share(entry):>9.2f}"
        lines.append(f"{cameras:<12}{entry.best_hz:>9.1f} Hz{entry.cpu_ms:>11.2f} ms{shares}")
    return "\n".join(lines)


def _bench_config(args: argparse.Namespace, url: str) -> Config:
    from edgepose.pose import interpreter

    camera = Camera(id="bench", source=args.source, realtime=False, fps=240)
    return Config(
        device=Device(id="bench"),
        mqtt=Mqtt(url=url),
        metrics=Metrics(listen=""),
        web=Web(listen=""),
        model=Model(
            name=args.model,
            policy=args.policy,
            threads=interpreter.thread_count(args.threads),
            interpreters=args.interpreters,
            delegate="cpu",
        ),
        cameras=(camera,),
    )


def _make_report(
    args: argparse.Namespace, result: "benchmark.Result", whole: "benchmark.WholeProcess | None"
) -> dict[str, Any]:
    from edgepose.measure import benchmark

    choice = catalog.choose(args.model)
    report = benchmark.summary(result) | {
        "model": choice.name,
        "sha256": hashlib.sha256(catalog.read_file(choice.path)).hexdigest(),
        "source": args.source,
    }
    if whole is not None:
        report |= {
            "first_pose_s": round(whole.first_pose_s, 3),
            "memory_mb": {str(mark): round(mb, 1) for mark, mb in whole.memory_mb.items()},
            "service_memory_mb": round(whole.service_mb, 1),
            "peak_memory_mb": round(whole.peak_mb, 1),
            "bare_memory_mb": round(whole.bare_mb, 1),
        }
    return report


def _report_title(report: dict[str, Any]) -> str:
    return (
        f"{report['model']} with {report['runtime']}, {count(report['threads'], 'thread')}, on "
        f"{report['machine']['board']}"
    )


def _report_page(report: dict[str, Any]) -> str:
    lines = [
        _report_title(report),
        "",
        f"{'round':<8}{'daemon':>12}{'bare':>12}{'ratio':>8}",
    ]
    for number, entry in enumerate(report["rounds"], 1):
        lines.append(
            f"{number:<8}{entry['daemon_hz']:>9.1f} Hz{entry['bare_hz']:>9.1f} Hz"
            f"{entry['ratio']:>8.3f}"
        )
    lines += [f"{'median':<32}{report['ratio']:>8.3f}", "", f"{'stage':<10}{'p50':>12}{'p99':>12}"]
    for stage, found in report["stages_ms"].items():
        lines.append(f"{stage:<10}{found['p50']:>9.2f} ms{found['p99']:>9.2f} ms")
    lines += ["", f"{'CPU a frame':<12}"]
    lines += [f"{part:<10}{ms:>9.2f} ms" for part, ms in report["cpu_ms"].items()]
    if "first_pose_s" in report:
        lines += ["", f"start to first pose: {report['first_pose_s']:.2f} s"]
        for mark, mb in report["memory_mb"].items():
            over = mb - report["bare_memory_mb"]
            lines.append(f"memory after {mark} frames: {mb:.0f} MB, {over:+.0f} MB over the model")
        service, peak = report["service_memory_mb"], report["peak_memory_mb"]
        lines.append(f"with page and numbers: {service:.0f} MB; its own peak: {peak:.0f} MB")
    return "\n".join(lines)
