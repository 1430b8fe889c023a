"""The report: figures, and one page of Markdown with every number that the documents quote."""

import numpy as np

from . import example
from .compare import FITTED, by_draw, by_seeds, interval, mean_sd, paired, where
from .errata import ERRATA
from .figures import draw_all
from .grid import LENGTHS

CUTOFFS = {"median": "with median cutoffs", "random": "without median cutoffs"}


def write_report(sources, out):
    """Write figures and report.md into a folder; return the path of the page."""
    drawn = draw_all(sources, out / "figures")
    sections = [
        ["# Report", "", *data_section(sources)],
        progress(sources),
        figure1_section(),
        *(gln_table(sources, cutoff) for cutoff in CUTOFFS),
        best_table(sources),
        best_relu_table(sources),
        relu_table(sources),
        claims_section(sources),
        gln_against_l2(sources),
        inconsistency_section(sources),
        size_table(sources),
        norm_section(sources),
        ["## Errata", "", "```text", *(e(sources.results).text for e in ERRATA), "```", ""],
        ["## Figures", "", *(f"![{name}](figures/{name}.png)" for name in drawn), ""],
    ]
    page = out / "report.md"
    page.write_text("\n".join(line for section in sections for line in section))
    return page


def data_section(sources):
    grid = sources.grid
    text = f"Data: {grid.data}; {sources.results.path.name}."
    if not sources.is_published_data:
        text += " Nothing here can be compared with the published numbers, which are about MNIST."
    return [text, ""]


def table(header, rows):
    """Lines of a Markdown table."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, *rows)]
    return [lines[0], "|" + "---|" * len(header), *lines[1:], ""]


def without_published(header, rows, is_shown):
    """The same table; columns that speak of published numbers only if they are shown."""
    kept = [i for i, name in enumerate(header) if is_shown or "published" not in name]
    return table([header[i] for i in kept], [[row[i] for i in kept] for row in rows])


def number(mean, sd=np.nan, digits=2):
    if not np.isfinite(mean):
        return "-"
    return f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if np.isfinite(sd) else "")


def progress(sources):
    results, grid = sources.results, sources.grid
    lines = ["## What is there", ""]
    rows = []
    for what in ("fig2", "fig3", "fig4", "fig5", "errata", "beyond", "all"):
        tasks = grid.tasks(what)
        done = [task for task in tasks if results.has(task)]
        seconds = sum(results.records[task.key]["seconds"] for task in done)
        rows.append((what, len(done), len(tasks), f"{seconds / 60:.1f}"))
    lines += table(("run", "tasks done", "of", "minutes (one thread)"), rows)
    counts = {}
    for row in results.rows:
        status = row.get("status", "trained")
        counts[row["model"], status] = counts.get((row["model"], status), 0) + 1
    lines += table(
        ("model", "ended as", "number"), [(*key, n) for key, n in sorted(counts.items())]
    )
    ends = ("failed", "skipped", "stalled", "max_iter")
    for row in (row for row in results.rows if row.get("status") in ends):
        reason = row.get("reason", f"gap {row.get('gap', float('nan')):.1e}")
        lines.append(
            f"- {row['model']}, H = {row['n_units']}, C = {row['n_contexts']}, "
            f"N = {row['n_train']}, seed {row['seed']}, {row['cutoff']}: {row['status']}, {reason}"
        )
    gaps = [row["gap"] for row in results.rows if row.get("status") == "optimal"]
    if gaps:
        lines += ["", f"Largest relative duality gap of a solved problem: {max(gaps):.1e}.", ""]
    return lines


def figure1_section():
    rows = [
        (name, *(f"{v:.3f}" for v in norms.values())) for name, norms in example.summary().items()
    ]
    return ["## Figure 1", "", *table(("predictor", "GLN norm", "L2 norm"), rows)]


def gln_table(sources, cutoff):
    """Published, published norm redone, corrected; of SVM-GLN, SVM-L2 and GD-GLN."""
    models = {
        "SVM-GLN": "SVM-GLN published groups",
        "SVM-L2": "SVM-L2 published groups",
        "GD-GLN": "GD-GLN",
    }
    others = ("SVM-L2 of (23)", "SVM-plain")
    grid = sources.grid
    here = sources.ours.gln((*models, *models.values(), *others))
    here = where(here, seed=grid.seeds, n_units=grid.widths, cutoff=cutoff, momentum=0.0)
    theirs = where(sources.gln, cutoff=cutoff)
    rows = []
    for (model, h, c, n, *_), group in sorted(by_seeds(here).items()):
        if model not in models:
            continue
        config = {"n_units": h, "n_contexts": c, "n_train": n}
        published = [r["error"] for r in where(theirs, model=model, **config)]
        redone = [r["error"] for r in where(here, model=models[model], **config)]
        mean, sd = mean_sd([r["error"] for r in group])
        theirs_mean, theirs_sd = mean_sd(published)
        rows.append((
            model, n, c, h,
            number(theirs_mean, theirs_sd), len(published),
            number(*mean_sd(redone)) if model != "GD-GLN" else "",
            number(mean, sd), len(group), number(mean - theirs_mean),
        ))  # fmt: skip
    header = (
        "model", "N", "C", "H", "published", "seeds published", "mixed groups, redone",
        "corrected", "seeds", "corrected - published",
    )  # fmt: skip
    figure = "s 2 and 4" if cutoff == "median" else " 4"
    lines = [
        f"## Figure{figure}: error in % {CUTOFFS[cutoff]}, mean ± standard deviation over seeds",
        "",
        "Redone are the groups of the published solver, which mix contexts of different units "
        "(see E3). With them SVM-L2 has no unique solution; redone is one of small zeta.",
        "",
        *without_published(header, rows, sources.is_published_data),
    ]
    return lines + l2_variants(here, cutoff)


def l2_variants(here, cutoff):
    """The three readings of SVM-L2, on average over all configurations that have all of them."""
    names = ("SVM-L2 published groups", "SVM-L2 of (23)", "SVM-L2", "SVM-GLN", "SVM-plain")
    keys = "n_units", "n_contexts", "n_train", "seed"
    groups = {name: by_seeds(where(here, model=name), keys) for name in names}
    common = set.intersection(*(set(group) for group in groups.values()))
    rows = [
        (name, number(np.mean([groups[name][key][0]["error"] for key in common])))
        for name in names
        if common
    ]
    title = (
        f"Mean error in % over the {len(common)} runs that have all of these, {CUTOFFS[cutoff]}:"
    )
    return [title, "", *table(("model", "error"), rows)]


def best_rows(source, records):
    """Least mean error over widths and contexts, by model and number of training images."""
    best = {}
    for (model, h, c, n, *_), group in by_seeds(records).items():
        mean, sd = mean_sd([r["error"] for r in group])
        best[model, n] = min(best.get((model, n), (np.inf,)), (mean, sd, h, c))
    return [
        (source, model, n, number(mean, sd), h, c)
        for (model, n), (mean, sd, h, c) in sorted(best.items())
    ]


BEST_HEADER = ("source", "model", "N", "least mean error [%]", "at H", "at C")


def best_table(sources):
    """Figure 2c: least mean error over the sizes."""
    grid, ours = sources.grid, sources.ours
    published = where([*sources.gln, *sources.shallow], cutoff="median")
    here = where([*ours.gln(), *ours.shallow()], cutoff="median", seed=grid.seeds, momentum=0.0)
    here = where(here, n_units=tuple({*grid.widths, *grid.depths}))
    rows = [*best_rows("published", published), *best_rows("corrected", here)]
    title = "## Figure 2c: the best of all sizes, median cutoffs"
    return [title, "", "H of the shallow SVM is its number of hyperplanes.", "",
            *table(BEST_HEADER, rows)]  # fmt: skip


def best_relu_table(sources):
    """Figure 3c: the same of the machines on ReLU networks, and of GLN with as many weights."""
    grid, ours = sources.grid, sources.ours
    small = {"model": "SVM-GLN", "cutoff": "median", "n_contexts": 2, "seed": grid.seeds}
    small["n_units"] = tuple(h for h in grid.widths if h <= 50)
    published = [*where(sources.relu, momentum=0.9), *where(sources.gln, **small)]
    here = [*where(ours.relu(), momentum=0.9), *where(ours.gln(), **small)]
    rows = [*best_rows("published", published), *best_rows("here", here)]
    text = (
        "Momentum 0.9. SVM-GLN with 2 contexts and at most 50 units: no more weights than the "
        "others have with 100 units."
    )
    title = "## Figure 3c: the best of all widths"
    return [title, "", text, "", *table(BEST_HEADER, rows)]


def relu_table(sources):
    theirs, here = sources.relu, sources.ours.relu()
    groups = {}
    for record in here:
        key = record["momentum"], record["model"], record["n_train"], record["n_units"]
        groups.setdefault(key, []).append(record)
    rows = []
    for (momentum, model, n, h), group in sorted(groups.items()):
        config = {"momentum": momentum, "model": model, "n_train": n, "n_units": h}
        published = where(theirs, **config)
        known = [r["error"] for r in published if r["error"] is not None]
        solved = [r["error"] for r in group if r["error"] is not None]
        inseparable = sum(r["status"] == "not separable" for r in group)
        unlike, theirs_unlike = (
            mean_sd([r.get("unlike") for r in records]) for records in (group, published)
        )
        rows.append((
            momentum, model, n, h,
            number(*mean_sd(known)) if known else "-", len(known),
            number(*mean_sd(solved)) if solved else "-", len(solved), inseparable,
            "" if model == "GD-ReLU" else number(*theirs_unlike),
            "" if model == "GD-ReLU" else number(*unlike),
        ))  # fmt: skip
    header = (
        "momentum", "model", "N", "H", "error published [%]", "runs published", "error here [%]",
        "runs", "proven not separable", "unlike GD published [%]", "unlike GD here [%]",
    )  # fmt: skip
    lines = ["## Figures 3 and 5: ReLU networks", ""]
    missing = [r for r in theirs if r["error"] is None]
    if missing:
        counts = [
            f"{sum(r['model'] == model for r in missing)} {model}" for model in ("SVM-LC", "SVM-HL")
        ]
        lines += [f"Of the published rows {len(missing)} are empty: {', '.join(counts)}.", ""]
    if lost := sources.ours.collapsed():
        networks = [
            f"H = {r['n_units']}, N = {r['n_train']}, momentum {r['momentum']:g}, seed {r['seed']}"
            for r in lost
        ]
        lines += [
            f"Networks that lost their units in training, with a training accuracy below {FITTED}, "
            f"are left out, with what was made of them: {'; '.join(networks)}.",
            "",
        ]
    return [*lines, *without_published(header, rows, sources.is_published_data)]


def claims_section(sources):
    """What the text of the paper says of its figures, published and here."""
    grid = sources.grid
    here = where(sources.ours.gln(), seed=grid.seeds, n_units=grid.widths)
    both = {"published": (sources.gln, sources.relu), "here": (here, sources.ours.relu())}
    rows = []
    for source, (gln, of_relu) in both.items():
        if not gln and not of_relu:
            continue
        for cutoff in CUTOFFS:
            chosen = where(gln, cutoff=cutoff, momentum=0.0)
            for model in ("SVM-GLN", "SVM-L2"):
                differences = paired(chosen, model, "GD-GLN")
                draws = by_draw(differences)
                points = [
                    (
                        mean_sd([r["descent_error"] for r in g])[0],
                        mean_sd([r["error"] for r in g])[0],
                    )
                    for g in by_seeds(
                        r for r in where(chosen, model=model) if r["descent_error"] is not None
                    ).values()
                ]
                correlation = np.corrcoef(np.transpose(points))[0, 1] if len(points) > 2 else np.nan
                rows.append((
                    source, f"{model} - GD-GLN", CUTOFFS[cutoff], len(differences), len(draws),
                    number(*interval(draws)), number(correlation),
                ))  # fmt: skip
        for momentum in (0.0, 0.9):
            chosen = where(of_relu, momentum=momentum)
            for model, other in (
                ("SVM-RC", "GD-ReLU"),
                ("SVM-LC", "GD-ReLU"),
                ("SVM-HL", "GD-ReLU"),
                ("SVM-LC", "SVM-RC"),
            ):
                values = paired([r | {"n_contexts": 1, "cutoff": ""} for r in chosen], model, other)
                rows.append((
                    source, f"{model} - {other}", f"momentum {momentum:g}", len(values), "",
                    number(*interval([v["difference"] for v in values])), "",
                ))  # fmt: skip
    header = ("source", "errors compared", "where", "runs", "draws of gates",
              "difference [points]", "correlation over configurations")  # fmt: skip
    text = (
        "Mean difference of errors and 95 % interval: over draws of gates (GLN), over runs (ReLU, "
        "where both exist). Correlation of the mean errors of the two over H, C and N."
    )
    return ["## The claims of the text", "", text, "", *table(header, rows)]


def gln_against_l2(sources):
    """SVM-L2 and the plain norm less SVM-GLN, with intervals over draws of the gates."""
    lines = [
        "## Does the GLN norm generalise better?",
        "",
        "Differences of errors in points on the same gates, training and validation images; "
        "positive: SVM-GLN is better. Mean and 95 % interval (Student) over draws of the gates. "
        "All draws share the images, so that the intervals say nothing about other images.",
        "",
    ]
    grid = sources.grid
    records = where(sources.ours.gln(), n_units=grid.widths)
    models = {"SVM-L2": "SVM-L2", "plain": "SVM-plain"}
    for cutoff, name in CUTOFFS.items():
        rows = []
        chosen = where(records, cutoff=cutoff)
        for label, model in models.items():
            for seeds in dict.fromkeys((grid.seeds, tuple(sorted({r["seed"] for r in chosen})))):
                differences = paired(where(chosen, seed=seeds), model, "SVM-GLN")
                draws = by_draw(differences)
                if len(draws) > 1:
                    mean, half = interval(draws)
                    n_seeds = len({r["seed"] for r in differences})
                    rows.append((label, n_seeds, len(draws), len(differences), number(mean, half)))
        published = paired(where(sources.gln, cutoff=cutoff), "SVM-L2", "SVM-GLN")
        if draws := by_draw(published):
            rows.append(("SVM-L2, as published", 3, len(draws), len(published),
                         number(*interval(draws))))  # fmt: skip
        lines += [
            f"All of H, C and N, {name}:",
            "",
            *table(("compared", "seeds", "draws", "runs", "difference [points]"), rows),
        ]
        rows = []
        groups = {}
        for label, model in models.items():
            for row in paired(chosen, model, "SVM-GLN"):
                key = row["n_train"], row["n_contexts"], row["n_units"]
                groups.setdefault(key, {}).setdefault(label, []).append(row["difference"])
        for (n, c, h), found in sorted(groups.items()):
            cells = [number(*interval(found.get(label, []))) for label in models]
            rows.append((n, c, h, len(found["SVM-L2"]), *cells))
        header = ("N", "C", "H", "draws", "SVM-L2 - SVM-GLN", "plain - SVM-GLN")
        lines += [f"By configuration, {name}:", "", *table(header, rows)]
    return lines


def inconsistency_section(sources):
    lines = ["## Is the inconsistency an effect of finite time?", ""]
    grid, theirs = sources.grid, sources.gln
    rows = []
    here = where(sources.ours.gln(), seed=grid.seeds, n_units=grid.widths)
    for cutoff in CUTOFFS:
        for model in ("SVM-GLN", "SVM-L2", "SVM-plain"):
            published = [r["unlike"] for r in where(theirs, model=model, cutoff=cutoff)] \
                if model != "SVM-plain" else []  # fmt: skip
            found = [r["unlike"] for r in where(here, model=model, cutoff=cutoff)]
            found = [value for value in found if value is not None]
            rows.append((
                cutoff, model, number(np.mean(published)) if published else "-", len(published),
                number(np.mean(found)) if found else "-", len(found),
            ))  # fmt: skip
    header = ("cutoff", "SVM", "published [%]", "runs published", "here [%]", "runs")
    shown = without_published(header, rows, sources.is_published_data)
    lines += ["Inconsistency with GD-GLN after 3,200 steps of the recipe:", "", *shown]
    groups = {}
    for row in sources.results.select(kind="length"):
        if "unlike" in row:
            key = row["n_units"], row["variant"], row["n_steps"]
            groups.setdefault(key, []).append(row)
    rows = []
    for (h, variant, steps), group in sorted(groups.items()):
        ratios = [1 - r["margin_ratio"] for r in group if "margin_ratio" in r]
        rows.append((
            h, variant, steps, len(group),
            number(*mean_sd([100 * r["unlike"] for r in group])),
            f"{np.mean(ratios):.1e}" if ratios else "-",
            number(*mean_sd([100 * (1 - r["accuracy"]) for r in group])),
        ))  # fmt: skip
    header = ("H", "training", "steps", "seeds", "unlike SVM-GLN [%]", "1 - margin ratio", "error")
    lines += [
        f"Longer training, N = {grid.length_train}, C = 2, median cutoffs; gates and initial "
        "weights of one seed, but for the five starts, which share their gates:",
        "",
        *table(header, rows),
    ]
    rows = [
        (r["n_units"], r["start"], number(100 * r["unlike"]), f"{1 - r['margin_ratio']:.1e}")
        for r in sources.results.select(kind="length")
        if "starts" in r["variant"] and "unlike" in r
    ]
    header = ("H", "seed of the weights", "unlike SVM-GLN [%]", "1 - margin ratio")
    text = f"The five starts, {max(LENGTHS['accelerated']):,} steps, gates of seed {grid.seeds[0]}:"
    return [*lines, text, "", *table(header, sorted(rows))]


def size_table(sources):
    groups = {}
    for row in sources.results.select(kind="size"):
        groups.setdefault((row["n_train"], row["model"]), []).append(row)
    rows = []
    for (n, model), group in sorted(groups.items()):
        solved = [r for r in group if "accuracy" in r]
        rows.append((
            n, model, len(solved),
            number(*mean_sd([100 * (1 - r["accuracy"]) for r in solved])),
            f"{np.mean([r['seconds'] for r in solved]):.1f}" if solved else "-",
            group[0].get("status"),
        ))  # fmt: skip
    header = ("N", "model", "seeds", "test error [%]", "seconds", "ended as")
    width = sources.grid.size_width
    title = f"## More training images: H = {width}, C = 2, median cutoffs, test images"
    return [title, "", *table(header, rows)]


def norm_section(sources):
    """Units in use, and rank correlation of the norm with the error over draws of gates."""
    lines = ["## Units in use, and norm against error (SVM-GLN, median cutoffs)", ""]
    rows = []
    records = where(sources.ours.gln(("SVM-GLN",)), cutoff="median")
    for (_, h, c, n, *_), group in sorted(by_seeds(records).items()):
        solved = [r["row"] for r in group]
        norms = [r["norm"] for r in solved]
        correlation = "-"
        if len(group) > 3:
            correlation = number(np.corrcoef(norms, [r["error"] for r in group])[0, 1])
        rows.append((
            n, c, h, len(group),
            number(*mean_sd([r["active_units"] for r in solved]), digits=1),
            number(*mean_sd([r["effective_units"] for r in solved]), digits=1),
            number(*mean_sd(norms)), correlation,
        ))  # fmt: skip
    header = ("N", "C", "H", "draws", "active units", "effective units", "GLN norm",
              "correlation of norm and error")  # fmt: skip
    text = (
        "Active units have a norm above zero; effective units are (sum u)^2 / sum u^2 of the unit "
        "norms u."
    )
    return [*lines, text, "", *table(header, rows)]
