"""Command line of the paper's experiments.

    python -m examples.paper run {fig1,fig2,fig3,fig4,fig5,errata,beyond,all} --data DIR --out DIR
    python -m examples.paper report --out DIR

``run`` appends the result of every configuration to DIR/results.jsonl and, when it is stopped, goes
on where it was; what failed is tried again. ``report`` draws the figures and writes report.md from
whatever is there. With ``--quick`` both are about a small grid on the digits that come with
scikit-learn, in DIR/quick.jsonl, and need no MNIST.

The exit status is 1 if a task failed, 2 if the command makes no sense, and 130 after Ctrl-C.
"""

import argparse
import sys
from pathlib import Path

from .compare import Sources
from .errata import ERRATA
from .figures import draw_all
from .grid import QUICK, Grid
from .report import write_report
from .results import DamagedResultsError, Results
from .runner import load, run

WHAT = ("fig1", "fig2", "fig3", "fig4", "fig5", "errata", "beyond", "all")
INTERRUPTED = 130


def n_processes(text):
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number of processes, at least 1, got {text}")
    return int(text)


def parser():
    top = argparse.ArgumentParser(
        prog="python -m examples.paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--out", type=Path, required=True, help="folder of results and figures")
    common.add_argument("--quick", action="store_true", help="small grid on the bundled digits")
    running = commands.add_parser("run", parents=[common], help="run what has no result yet")
    running.add_argument("what", choices=WHAT)
    running.add_argument("--data", type=Path, help="folder of the MNIST files")
    running.add_argument(
        "--jobs", type=n_processes, default=1, help="processes, of one thread each"
    )
    running.add_argument("--no-progress", action="store_true", help="show no progress bar")
    commands.add_parser("report", parents=[common], help="figures and tables of what is there")
    return top


def main(arguments=None):
    top = parser()
    options = top.parse_args(arguments)
    if options.out.exists() and not options.out.is_dir():
        top.error(f"expected --out to be a folder, got the file {options.out}")
    try:
        command = report_command if options.command == "report" else run_command
        return command(top, options)
    except (DamagedResultsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\ninterrupted: of the tasks in progress nothing is kept, what was done before is; the "
            "same command goes on",
            file=sys.stderr,
        )
        return INTERRUPTED


def read(options):
    results = Results(options.out / ("quick.jsonl" if options.quick else "results.jsonl"))
    if results.skipped is not None:
        print(f"note: {results.skipped}", file=sys.stderr)
    return Sources(results, QUICK if options.quick else Grid())


def report_command(top, options):
    sources = read(options)
    if not sources.results.records:
        top.error(f"expected results in {sources.results.path}, got none: `run` writes them")
    print(f"wrote {write_report(sources, options.out)}")
    return 0


def run_command(top, options):
    if options.quick and options.data is not None:
        top.error(
            "expected --quick, on the bundled digits, or --data, the folder of MNIST: got both"
        )
    if not (options.quick or options.data or options.what == "fig1"):
        top.error("run needs --data, the folder of the MNIST files, unless --quick is given")
    sources = read(options)
    if options.what == "fig1":
        draw_all(sources, options.out / "figures", ("fig1",))
        print(f"figure 1 takes no tasks: wrote {options.out / 'figures' / 'fig1.png'}")
        return 0
    try:
        load(options.data)  # None: the bundled digits
    except (OSError, ValueError) as error:
        top.error(f"expected --data to be the folder of the MNIST files: {error}")
    options.out.mkdir(parents=True, exist_ok=True)
    results, grid = sources.results, sources.grid
    tasks = grid.tasks(options.what)
    n_run = run(tasks, results, options.data, options.jobs, progress=not options.no_progress)
    failed = [
        f"  {task.key}, {row['model']}: {row['reason']}"
        for task in tasks
        for row in results.records[task.key]["rows"]
        if row.get("status") == "failed"
    ]
    print(f"{grid.data}: {len(tasks)} tasks, {n_run} run now; {len(failed)} predictors failed")
    if failed:
        print("\n".join(failed))
        print("the same command tries them again")
    if options.what in ("errata", "all"):
        for erratum in ERRATA:
            print(erratum(results).text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
