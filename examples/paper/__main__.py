"""Command line of the paper's experiments.

    python -m examples.paper run {fig1,fig2,fig3,fig4,fig5,errata,beyond,all} --data DIR --out DIR
    python -m examples.paper report --out DIR

``run`` appends the result of every configuration to DIR/results.jsonl and, when it is stopped, goes
on where it was. ``report`` draws the figures and writes report.md from whatever is there. With
``--quick`` both are about a small grid on the digits that come with scikit-learn, in
DIR/quick.jsonl, and need no MNIST.
"""

import argparse
from pathlib import Path

from .errata import ERRATA
from .grid import QUICK, Grid
from .report import write_report
from .results import Results
from .runner import run

WHAT = ("fig1", "fig2", "fig3", "fig4", "fig5", "errata", "beyond", "all")


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
    running.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    running.add_argument("--no-progress", action="store_true", help="show no progress bar")
    commands.add_parser("report", parents=[common], help="figures and tables of what is there")
    return top


def main(arguments=None):
    options = parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    results = Results(options.out / ("quick.jsonl" if options.quick else "results.jsonl"))
    if options.command == "report":
        print(f"wrote {write_report(results, options.out, is_quick=options.quick)}")
        return
    if options.data is None and not options.quick:
        parser().error("run needs --data, the folder of the MNIST files, unless --quick is given")
    grid = QUICK if options.quick else Grid()
    folder = None if options.quick else options.data
    tasks = grid.tasks(options.what)
    n_run = run(tasks, results, folder, options.jobs, progress=not options.no_progress)
    failed = [row for row in results.rows if row.get("status") == "failed"]
    print(f"{len(tasks)} tasks, {n_run} of them run now; {len(failed)} predictors failed")
    for row in failed:
        print(f"  {row['kind']} {row['model']}: {row.get('reason')}")
    if options.what in ("errata", "all"):
        for erratum in ERRATA:
            print(erratum(results).text)


if __name__ == "__main__":
    main()
