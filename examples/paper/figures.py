"""The figures of the paper, each panel as published (top) and as found here (bottom), same axes.

Means over the seeds with one standard deviation, as in the paper. Colours are those of Okabe and
Ito, which the colour-blind can tell apart; every model has a marker of its own.
"""

from itertools import product
from string import ascii_lowercase

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, ScalarFormatter

from . import example
from .compare import by_seeds, mean_sd, where
from .grid import LENGTHS

STYLES = {
    "SVM-GLN": {"color": "#0072B2", "marker": "o"},
    "SVM-L2": {"color": "#D55E00", "marker": "s"},
    "SVM-plain": {"color": "#CC79A7", "marker": "P"},
    "SVM-shallow": {"color": "#009E73", "marker": "D"},
    "GD-GLN": {"color": "#000000", "marker": "^"},
    "SVM-RC": {"color": "#E69F00", "marker": "s"},
    "SVM-LC": {"color": "#56B4E9", "marker": "v"},
    "SVM-HL": {"color": "#009E73", "marker": "D"},
    "GD-ReLU": {"color": "#000000", "marker": "^"},
}
NAMES = {"SVM-plain": r"SVM-$\|\zeta\|_2$", "SVM-shallow": "shallow SVM"}
GLN, RELU = ("SVM-GLN", "SVM-L2"), ("SVM-RC", "SVM-LC", "SVM-HL")
GREY = "0.6"
FONTS = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.markersize": 4,
    "lines.linewidth": 1.2,
    "errorbar.capsize": 1.5,
    "svg.hashsalt": "gnorm",
}


def _bars(ax, x, y, x_sd=None, y_sd=None, model="", **style):
    ax.errorbar(
        x, y, xerr=x_sd, yerr=y_sd, elinewidth=0.7, **({"linestyle": ""} | STYLES[model] | style)
    )


# Panels: axes, records, models


def error_against_error(ax, records, models):
    for model in models:
        groups = by_seeds(r for r in where(records, model=model) if r["descent_error"] is not None)
        if groups:
            points = [
                (*mean_sd([r["descent_error"] for r in g]), *mean_sd([r["error"] for r in g]))
                for g in groups.values()
            ]
            x, x_sd, y, y_sd = np.transpose(points)
            _bars(ax, x, y, x_sd, y_sd, model, alpha=0.8)
    ax.axline((10, 10), slope=1, color=GREY, linewidth=0.8, zorder=0)


def unlike_against_error(ax, records, models):
    for model in models:
        groups = by_seeds(r for r in where(records, model=model) if r["unlike"] is not None)
        if groups:
            points = [
                (*mean_sd([r["descent_error"] for r in g]), *mean_sd([r["unlike"] for r in g]))
                for g in groups.values()
            ]
            x, x_sd, y, y_sd = np.transpose(points)
            _bars(ax, x, y, x_sd, y_sd, model, alpha=0.8)
    p = np.linspace(0.03, 0.25, 50)
    ax.plot(100 * p, 200 * p * (1 - p), color=GREY, linewidth=0.8, zorder=0)


def best_by_samples(ax, records, models):
    """Least mean error over all widths and numbers of contexts."""
    for model in models:
        best = {}
        for (_, _, _, n, *_), group in by_seeds(where(records, model=model)).items():
            found = mean_sd([r["error"] for r in group])
            best[n] = min(best.get(n, (np.inf, 0.0)), found)
        if best:
            n, (mean, sd) = sorted(best), np.transpose([best[k] for k in sorted(best)])
            _bars(ax, n, mean, y_sd=sd, model=model, linestyle="-")
    ax.set_xscale("log")


def error_by_width(ax, records, models):
    for model in models:
        points = sorted(
            (h, *mean_sd([r["error"] for r in group]))
            for (_, h, *_), group in by_seeds(where(records, model=model)).items()
        )
        if points:
            h, mean, sd = np.transpose(points)
            _bars(ax, h, mean, y_sd=sd, model=model, linestyle="-")
    ax.set_xscale("log")


def _tick_what_is_there(axes, write="{:,.0f}".format):
    """Ticks of logarithmic axes that are shared: the values that occur in any of them."""
    values = sorted({x for ax in axes for line in ax.lines for x in line.get_xdata()})
    if axes[0].get_xscale() == "log" and values:
        for ax in axes:
            ax.xaxis.set_minor_locator(NullLocator())
            ax.set_xticks(values, [write(value) for value in values])


def _handles(models):
    return [
        Line2D([], [], **STYLES[model], linestyle="", label=NAMES.get(model, model))
        for model in models
    ]


def _legend(figure, models, note):
    _legend_above(figure, _handles(models))
    figure.supxlabel(note, fontsize=7.5, color="0.35")


def _legend_above(figure, handles):
    figure.suptitle(" ")  # the layout keeps its place free
    figure.legend(handles=handles, loc="upper center", ncol=len(handles))


NOTE = "mean and standard deviation over seeds"
GREY_LINES = "grey: equal errors (a), independent errors (b)"
MI = "MI: median cutoffs"


def _two_rows(columns, both, models, note=NOTE, size=None, share_columns="col"):
    """A figure of panels (title, x label, y label, draw, chosen), published above found here."""
    n_rows, n = len(both), len(columns)
    width, height = size or (2.45 * n, 4.9)
    with rc_context(FONTS):
        figure = Figure(figsize=(width, 0.5 + (height - 0.5) * n_rows / 2), layout="constrained")
        panels = figure.subplots(n_rows, n, sharex="col", sharey=share_columns, squeeze=False)
        for ax_row, (source, records) in zip(panels, both.items(), strict=True):
            for ax, (title, _, y, draw, chosen) in zip(ax_row, columns, strict=True):
                draw(ax, chosen(records))
                ax.set_title(f"{title}\n{source}", loc="left")
                ax.set_ylabel(y)
        for ax, (_, x, *_) in zip(panels[-1], columns, strict=True):
            ax.set_xlabel(x)
        for column in panels.T:
            _tick_what_is_there(column)
        _legend(figure, models, note)
        return figure


def _both(published, ours, name="corrected"):
    """Records by their source, a row of panels each; sources that have none are left out."""
    both = {"as published": list(published), name: list(ours)}
    return {source: records for source, records in both.items() if records}


def figure1():
    """Data, the two units and the output of the worked example."""
    X, y, found = example.solve()
    side = np.linspace(-1, 1, 401)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    grid = np.column_stack([grid, np.ones(len(grid))])
    gates = example.contexts(grid)
    zeta = found["SVM-GLN"]
    with rc_context(FONTS):
        figure = Figure(figsize=(10.0, 2.9), layout="constrained")
        axes = figure.subplots(1, 4, sharex=True, sharey=True)
        titles = ("a  data", "b  unit 1", "c  unit 2", "d  output: four predictors")
        for ax, title in zip(axes, titles, strict=True):
            for label, marker, color in ((1, "o", "#0072B2"), (-1, "s", "#E69F00")):
                chosen = X[y == label]
                ax.plot(*chosen[:, :2].T, marker, color=color, markersize=2.5, alpha=0.7)
            ax.set_title(title, loc="left")
            ax.set(xlabel="$x_1$", aspect="equal", xlim=(-1, 1), ylim=(-1, 1))
        axes[0].set_ylabel("$x_2$")
        for unit, ax in enumerate(axes[1:3]):
            line = ax.axvline if unit == 0 else ax.axhline
            line(0.0, color=GREY, linestyle=":", linewidth=1)
            values = np.einsum("nc,cd,nd->n", gates[:, unit].astype(float), zeta[unit], grid)
            _border(ax, side, values)
        axes[3].axvline(0.0, color=GREY, linestyle=":", linewidth=1)
        axes[3].axhline(0.0, color=GREY, linestyle=":", linewidth=1)
        for (name, weights), style in zip(found.items(), ("-", "--"), strict=True):
            values = np.einsum("nhc,hcd,nd->n", gates.astype(float), weights, grid)
            _border(axes[3], side, values, STYLES[name]["color"], style)
        handles = [
            Line2D([], [], color=STYLES[n]["color"], linestyle=s, label=n)
            for n, s in (("SVM-GLN", "-"), ("SVM-L2", "--"))
        ]
        _legend_above(figure, handles)
        return figure


def _border(ax, side, values, color="black", style="-"):
    square = values.reshape(len(side), len(side))
    # quadrant by quadrant: between contexts the function jumps
    for columns in (side < 0, side > 0):
        for rows in (side < 0, side > 0):
            part = square[np.ix_(rows, columns)]
            if part.min() < 0 < part.max():
                x, y = side[columns], side[rows]
                ax.contour(x, y, part, [0.0], colors=[color], linestyles=style, linewidths=1.6)


def _on(panel, models, **wanted):
    """Arguments ``draw, chosen`` of a column."""
    return (lambda ax, records: panel(ax, records, models)), lambda r: where(r, **wanted)


def figure2(sources):
    both = _both([*sources.gln, *sources.shallow], [*sources.ours.gln(), *sources.ours.shallow()])
    models = ("SVM-shallow", *GLN, "GD-GLN")
    median = {"cutoff": "median", "seed": sources.grid.seeds}
    columns = [
        ("a  error", "error of GD-GLN [%]", "error of SVM [%]",
         *_on(error_against_error, GLN, **median)),
        ("b  inconsistency", "error of GD-GLN [%]", "inconsistency [%]",
         *_on(unlike_against_error, GLN, **median)),
        ("c  best of all sizes", "training images", "error [%]",
         *_on(best_by_samples, models, **median)),
    ]  # fmt: skip
    note = f"{NOTE}, median cutoffs; {GREY_LINES}"
    return _two_rows(columns, both, models, note)


def _width_columns(models, n_trains, **wanted):
    return [
        (f"{letter}  {n:,} images", "hidden units", "error [%]",
         *_on(error_by_width, models, n_train=n, **wanted))
        for letter, n in zip(ascii_lowercase, n_trains, strict=False)
    ]  # fmt: skip


def figure2d(sources):
    grid = sources.grid
    both = _both(sources.gln, sources.ours.gln())
    models = (*GLN, "GD-GLN")
    wanted = {"cutoff": "median", "n_contexts": 2, "seed": grid.seeds, "n_units": grid.widths}
    columns = _width_columns(models, grid.n_trains, **wanted)
    note = f"{NOTE}; 2 contexts, median cutoffs"
    return _two_rows(columns, both, models, note, share_columns=True)


def figure4(sources):
    both = _both(sources.gln, sources.ours.gln())
    columns = [
        (f"{letter}  {what}, {name}", "error of GD-GLN [%]", label,
         *_on(panel, GLN, cutoff=cutoff, seed=sources.grid.seeds))
        for letter, what, label, panel in (
            ("a", "error", "error of SVM [%]", error_against_error),
            ("b", "inconsistency", "inconsistency [%]", unlike_against_error),
        )
        for cutoff, name in (("median", "with MI"), ("random", "without MI"))
    ]  # fmt: skip
    return _two_rows(columns, both, GLN, f"{NOTE}; {GREY_LINES}; {MI}")


def figure4c(sources):
    grid = sources.grid
    both = _both(sources.gln, sources.ours.gln())
    models = (*GLN, "GD-GLN")
    settings = list(product(grid.contexts, ("median", "random")))
    rows = [(n, source) for n in grid.n_trains for source in both]
    with rc_context(FONTS):
        size = 0.6 + 2.2 * len(settings), 2.0 * len(rows)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(rows), len(settings), sharex=True, sharey="row", squeeze=False)
        limits = {}
        for ax_row, (n, source) in zip(panels, rows, strict=True):
            for ax, (c, cutoff) in zip(ax_row, settings, strict=True):
                wanted = {"n_train": n, "n_contexts": c, "cutoff": cutoff}
                wanted |= {"seed": grid.seeds, "n_units": grid.widths}
                error_by_width(ax, where(both[source], **wanted), models)
                name = "with MI" if cutoff == "median" else "without MI"
                ax.set_title(f"{n:,} images, C = {c}, {name}\n{source}", loc="left")
            ax_row[0].set_ylabel("error [%]")
            limits.setdefault(n, []).extend(ax_row[0].get_ylim())
        for ax_row, (n, _) in zip(panels, rows, strict=True):
            ax_row[0].set_ylim(min(limits[n]), max(limits[n]))
        for ax in panels[-1]:
            ax.set_xlabel("hidden units")
        _tick_what_is_there(panels.ravel())
        _legend(figure, models, f"{NOTE}; {MI}")
        return figure


def figure3(sources):
    grid, momentum = sources.grid, sources.grid.momenta[-1]
    with_momentum = {"momentum": momentum}
    columns = [
        ("a  error", "error of GD-ReLU [%]", "error of SVM [%]",
         *_on(error_against_error, RELU, **with_momentum)),
        ("b  inconsistency", "error of GD-ReLU [%]", "inconsistency [%]",
         *_on(unlike_against_error, RELU, **with_momentum)),
        ("c  best of all widths", "training images", "error [%]",
         lambda ax, records: best_by_samples(ax, records, (*RELU, "GD-ReLU", "SVM-GLN")),
         lambda records: [
             r for r in records
             if r["momentum"] == momentum
             or (r["model"] == "SVM-GLN" and r["n_contexts"] == 2 and r["n_units"] <= 50
                 and r["cutoff"] == "median" and r["seed"] in grid.seeds)
         ]),
    ]  # fmt: skip
    both = _both(
        [*sources.relu, *where(sources.gln, model="SVM-GLN")],
        [*sources.ours.relu(), *sources.ours.gln(("SVM-GLN",))],
        "here",
    )
    note = f"{NOTE}, momentum {momentum:g}; {GREY_LINES}\nSVM-GLN: 2 contexts, at most 50 units"
    return _two_rows(columns, both, (*RELU, "GD-ReLU", "SVM-GLN"), note)


def figure3d(sources):
    models, momentum = (*RELU, "GD-ReLU"), sources.grid.momenta[-1]
    columns = _width_columns(models, sources.grid.n_trains, momentum=momentum)
    both = _both(sources.relu, sources.ours.relu(), "here")
    return _two_rows(columns, both, models, f"{NOTE}, momentum {momentum:g}", share_columns=True)


def figure5(sources):
    columns = [
        (f"{letter}  {what}, momentum {momentum:g}", "error of GD-ReLU [%]", label,
         *_on(panel, RELU, momentum=momentum))
        for letter, what, label, panel in (
            ("a", "error", "error of SVM [%]", error_against_error),
            ("b", "inconsistency", "inconsistency [%]", unlike_against_error),
        )
        for momentum in sources.grid.momenta
    ]  # fmt: skip
    both = _both(sources.relu, sources.ours.relu(), "here")
    return _two_rows(columns, both, RELU, f"{NOTE}; {GREY_LINES}", (10.6, 4.9))


def figure5c(sources):
    models = (*RELU, "GD-ReLU")
    columns = [
        (f"N = {n:,}, momentum {momentum:g}", "hidden units", "error [%]",
         *_on(error_by_width, models, n_train=n, momentum=momentum))
        for momentum in sources.grid.momenta
        for n in sources.grid.n_trains
    ]  # fmt: skip
    both = _both(sources.relu, sources.ours.relu(), "here")
    return _two_rows(columns, both, models, size=(13.0, 4.9), share_columns=True)


DESCENTS = {  # label, colour, marker, and a factor of the steps, for points that would coincide
    "recipe": ("published recipe, continued", "#000000", "^", 1.0),
    "no bias": ("recipe without bias", "#E69F00", "v", 0.87),
    "no bias, full batch": ("... and full batches", "#D55E00", "s", 1.15),
    "accelerated": ("accelerated, no bias", "#0072B2", "o", 1.0),
}


def figure_lengths(sources):
    """Inconsistency and margin ratio against the length of training."""
    rows = [r for r in sources.results.select(kind="length") if "unlike" in r]
    widths = sorted({row["n_units"] for row in rows})
    with rc_context(FONTS):
        figure = Figure(figsize=(8.0, 2.6 * len(widths) + 0.7), layout="constrained")
        panels = figure.subplots(len(widths), 2, sharex=True, squeeze=False)
        letters = iter(ascii_lowercase)
        for (left, right), width in zip(panels, widths, strict=True):
            for variant, (_, color, marker, factor) in DESCENTS.items():
                chosen = [r for r in rows if (r["variant"], r["n_units"]) == (variant, width)]
                for ax, quantity in (
                    (left, lambda r: 100 * r["unlike"] if "unlike" in r else None),
                    (right, lambda r: 1 - r["margin_ratio"] if "margin_ratio" in r else None),
                ):
                    groups = {}
                    for row in chosen:
                        if (value := quantity(row)) is not None:
                            groups.setdefault(row["n_steps"], []).append(value)
                    if groups:
                        steps = sorted(groups)
                        means = np.array([np.mean(groups[k]) for k in steps])
                        low = means - [min(groups[k]) for k in steps]
                        high = [max(groups[k]) for k in steps] - means
                        ax.errorbar(
                            factor * np.array(steps),
                            means,
                            yerr=[low, high],
                            color=color,
                            marker=marker,
                            elinewidth=0.7,
                        )
            starts = [r for r in rows if "starts" in r["variant"] and r["n_units"] == width]
            hollow = {"color": DESCENTS["accelerated"][1], "markerfacecolor": "none"}
            steps = [r["n_steps"] for r in starts]
            left.plot(steps, [100 * r["unlike"] for r in starts], "D", markersize=3, **hollow)
            right.plot(steps, [1 - r["margin_ratio"] for r in starts], "D", markersize=3, **hollow)
            for ax, label in (
                (left, "inconsistency with\nSVM-GLN [%]"),
                (right, "1 - margin ratio"),
            ):
                ax.set(xscale="log", yscale="log", ylabel=label)
                ax.set_title(f"{next(letters)}  {width} units", loc="left")
        for ax in panels[-1]:
            ax.set_xlabel("steps of gradient descent")
        handles = [
            Line2D([], [], color=color, marker=marker, label=label)
            for label, color, marker, _ in DESCENTS.values()
        ]
        _legend_above(figure, handles)
        figure.supxlabel(
            "mean and range over seeds of gates and initial weights; hollow: five initial weights, "
            "gates of one seed\nlines of the accelerated descent join separate runs, each planned "
            f"for its length; points beside {min(LENGTHS['recipe']):,} steps belong\nto it, moved "
            "apart to be seen; a network with a bias has no margin ratio",
            fontsize=7.5,
            color="0.35",
        )
        return figure


def figure_beyond(sources):
    """More samples, more units, and norm against error."""
    with rc_context(FONTS):
        figure = Figure(figsize=(10.4, 3.7), layout="constrained")
        sizes, active, norm = figure.subplots(1, 3)
        rows = [r for r in sources.results.select(kind="size") if "accuracy" in r]
        models = ("SVM-GLN", "SVM-L2", "SVM-plain")
        for model in models:
            groups = {}
            for row in rows:
                if row["model"] == model:
                    groups.setdefault(row["n_train"], []).append(100 * (1 - row["accuracy"]))
            if groups:
                n = sorted(groups)
                mean, sd = np.transpose([mean_sd(groups[k]) for k in n])
                _bars(sizes, n, mean, y_sd=sd, model=model, linestyle="-")
        sizes.set(xscale="log", yscale="log", xlabel="training images", ylabel="test error [%]")
        low, high = sizes.get_ylim()
        sizes.set_yticks([tick for tick in (2, 3, 4, 5, 6, 8, 10, 14, 20) if low <= tick <= high])
        sizes.yaxis.set_major_formatter(ScalarFormatter())
        sizes.yaxis.set_minor_locator(NullLocator())
        _tick_what_is_there([sizes], lambda n: f"{n / 1000:g}k" if n >= 1000 else f"{n:g}")
        sizes.set_title("a  more images", loc="left")
        if rows:
            sizes.legend(handles=_handles(models), fontsize=7)
        gln = where(sources.ours.gln(("SVM-GLN",)), cutoff="median", n_contexts=2)
        gln = [r for r in gln if r["error"] is not None]
        counts = sorted({r["n_train"] for r in gln})
        for n, color in zip(counts, ("#56B4E9", "#0072B2", "#000000"), strict=False):
            groups = by_seeds(where(gln, n_train=n))
            points = sorted(
                (h, *mean_sd([r["row"]["effective_units"] / h for r in g]))
                for (_, h, *_), g in groups.items()
            )
            h, mean, sd = np.transpose(points)
            active.errorbar(h, mean, yerr=sd, marker="o", color=color, label=f"{n:,} images")
            g = where(gln, n_train=n)
            norm.plot(
                [r["row"]["margin"] for r in g], [r["error"] for r in g], "o", color=color,
                alpha=0.5, markersize=3, markeredgewidth=0, label=f"{n:,} images",
            )  # fmt: skip
        active.set(xscale="log", xlabel="hidden units H", ylabel="effective units / H", ylim=(0, 1))
        _tick_what_is_there([active])
        active.set_title("b  units in use (SVM-GLN)", loc="left")
        if gln:
            for ax in (active, norm):
                ax.legend(fontsize=7)
        norm.set(xlabel="margin = 1 / GLN norm", ylabel="validation error [%]")
        norm.set_title("c  norm and error (SVM-GLN)", loc="left")
        figure.supxlabel(
            f"{NOTE} (a, b; one seed from 10,000 images on); one point a draw of gates, of any "
            f"number of units (c)\n2 contexts and median cutoffs, {sources.grid.size_width} units "
            "in a",
            fontsize=7.5,
            color="0.35",
        )
        return figure


FIGURES = {
    "fig1": lambda sources: figure1(),
    "fig2": figure2,
    "fig2d": figure2d,
    "fig3": figure3,
    "fig3d": figure3d,
    "fig4": figure4,
    "fig4c": figure4c,
    "fig5": figure5,
    "fig5c": figure5c,
    "lengths": figure_lengths,
    "beyond": figure_beyond,
}
NEEDS = {  # what has to be among the results for a figure to show anything of them
    "fig1": (),
    "fig2": ("svm", "shallow"),
    "fig2d": ("svm",),
    "fig3": ("relu",),
    "fig3d": ("relu",),
    "fig4": ("svm",),
    "fig4c": ("svm",),
    "fig5": ("relu",),
    "fig5c": ("relu",),
    "lengths": ("length",),
    "beyond": ("size", "svm"),
}


def draw_all(sources, folder, names=None):
    """Draw the figures for which there is anything, as PNG and SVG; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {record["task"]["kind"] for record in sources.results.records.values()}
    names = FIGURES if names is None else names
    drawn = [name for name in names if not NEEDS[name] or kinds & set(NEEDS[name])]
    for name in drawn:
        figure = FIGURES[name](sources)
        with rc_context(FONTS):
            figure.savefig(folder / f"{name}.png", dpi=130)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    return drawn
