"""What is to be run: every configuration as a task, cheap ones first.

Sorting by cost keeps the seeds of a configuration together, so that whatever is there when a run is
stopped is balanced over seeds.
"""

from dataclasses import asdict, dataclass, fields
from itertools import product

SEEDS = (1, 2, 3)
LENGTHS = {
    "recipe": (3_200, 10_000, 32_000),
    "no bias": (3_200,),
    "no bias, full batch": (3_200,),
    "accelerated": (300, 1_000, 3_000, 10_000),
    "accelerated, five starts": (10_000,),
}
STARTS = (0, 1, 2, 3, 4)  # seeds of the initial weights, on the gates of one draw


@dataclass(frozen=True)
class Task:
    """One configuration of one kind of experiment; fields that a kind has no use for are None."""

    kind: str
    n_train: int = 0
    n_units: int = 0
    n_contexts: int = 0
    cutoff: str = ""
    seed: int = 0
    momentum: float = 0.0
    variant: str = ""

    @property
    def key(self):
        return "/".join(f"{name}={value}" for name, value in asdict(self).items() if value)

    @classmethod
    def of(cls, record):
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    @property
    def cost(self):
        """Seconds on one quiet core, roughly: orders the tasks and scales the progress bar."""
        size = self.n_train / 1000
        gated = self.n_units * max(self.n_contexts, 1)
        descent = 1.0 + 0.04 * gated  # 3,200 steps of 128 samples
        solve = 0.1 + (0.2 + 0.0008 * gated) * size**2
        match self.kind:
            case "svm" | "svm_published":
                return 1.0 + 3 * solve
            case "descent":
                return descent
            case "relu":
                return 1.0 + descent + 2 * solve
            case "length":
                batches = self.n_train / 128 if "full batch" in self.variant else 1.0
                if self.variant.startswith("accelerated"):
                    n_starts = len(STARTS) if "starts" in self.variant else 1
                    n_steps = n_starts * sum(LENGTHS[self.variant])
                    return descent * n_steps / 3_200 * self.n_train / 128
                return descent * max(LENGTHS[self.variant]) / 3_200 * batches
            case "size":
                return 1.0 + 0.3 * size**2
            case _:
                return solve


def _gln(n_trains, widths, contexts, cutoffs, seeds, momenta=(0.0,)):
    for n, h, c, cutoff, seed in product(n_trains, widths, contexts, cutoffs, seeds):
        common = {"n_train": n, "n_units": h, "n_contexts": c, "cutoff": cutoff, "seed": seed}
        yield Task("svm", **common)
        if momenta:
            yield Task("svm_published", **common)
        for momentum in momenta:
            yield Task("descent", momentum=momentum, **common)


def _relu(n_trains, widths, seeds, momenta):
    for n, h, seed in product(n_trains, widths, seeds):
        yield Task("frelu", n_train=n, n_units=h, n_contexts=1, cutoff="median", seed=seed)
        for m in momenta:
            yield Task("relu", n_train=n, n_units=h, n_contexts=1, seed=seed, momentum=m)


def _shallow(n_trains, depths, seeds):
    for n, depth, seed in product(n_trains, depths, seeds):
        # n_units hyperplanes, one predictor for each of their 2^n_units regions
        if depth or seed == seeds[0]:  # without hyperplanes there is nothing to draw
            yield Task("shallow", n, depth, 2, "median", seed)


def _lengths(n_train, widths, seeds):
    for h, seed, variant in product(widths, seeds, LENGTHS):
        if "starts" not in variant or seed == seeds[0]:
            yield Task("length", n_train, h, 2, "median", seed, variant=variant)


def _size(n_trains, n_units, seeds):
    for n in n_trains:
        for seed in seeds if n <= 5_000 else seeds[:1]:
            yield Task("size", n, n_units, 2, "median", seed)


@dataclass(frozen=True)
class Grid:
    """The sizes of the experiments; the defaults are the paper's, on the paper's data."""

    data: str = "MNIST"
    n_trains: tuple = (500, 1000, 2000)
    widths: tuple = (10, 20, 50, 100)
    contexts: tuple = (2, 4)
    seeds: tuple = SEEDS
    depths: tuple = (0, 1, 2, 3, 4, 6, 8)
    momenta: tuple = (0.0, 0.9)
    more_seeds: tuple = tuple(range(4, 11))
    more_widths: tuple = (200, 500)
    length_train: int = 500
    length_widths: tuple = (10, 50)
    sizes: tuple = (500, 1000, 2000, 5000, 10_000, 20_000, 60_000)
    size_width: int = 50

    def _deep(self, cutoffs):
        return _gln(self.n_trains, self.widths, self.contexts, cutoffs, self.seeds)

    def tasks(self, what):
        """Tasks of a figure, of "errata", of "beyond" or of "all", cheap ones first.

        Figure 1 is worked out when it is drawn. Of "errata" every erratum has something to be
        checked with; all of their tables take "all".
        """
        match what:
            case "fig1":
                found = []
            case "fig2":
                found = [
                    *self._deep(("median",)),
                    *_shallow(self.n_trains, self.depths, self.seeds),
                ]
            case "fig3":
                found = [
                    *_relu(self.n_trains, self.widths, self.seeds, self.momenta[-1:]),
                    *_gln(self.n_trains, self.widths[:3], (2,), ("median",), self.seeds),
                ]
            case "fig4":
                found = self._deep(("median", "random"))
            case "fig5":
                found = _relu(self.n_trains, self.widths, self.seeds, self.momenta)
            case "errata":
                small = self.widths[:1]
                found = [
                    *_gln(self.n_trains, self.widths, self.contexts, ("median",), self.seeds[:1]),
                    *_gln(self.n_trains, small, (2,), ("median", "random"), self.seeds),
                    *_lengths(self.length_train, self.length_widths[:1], self.seeds),
                ]
            case "beyond":
                more = _gln(
                    self.n_trains, self.widths, self.contexts, ("median",), self.more_seeds, ()
                )
                wide = _gln(self.n_trains[:1], self.more_widths, (2,), ("median",), self.seeds, ())
                found = [
                    *_lengths(self.length_train, self.length_widths, self.seeds),
                    *_size(self.sizes, self.size_width, self.seeds),
                    *more,
                    *wide,
                ]
            case "all":
                names = ("fig1", "fig2", "fig3", "fig4", "fig5", "errata", "beyond")
                found = [task for name in names for task in self.tasks(name)]
            case _:
                raise ValueError(f"expected a figure, errata, beyond or all, got {what!r}")
        return sorted(dict.fromkeys(found), key=lambda task: task.cost)


QUICK = Grid(
    data="8 x 8 digits",
    n_trains=(100, 200),
    widths=(5, 10),
    contexts=(2,),
    depths=(0, 2),
    more_seeds=(4,),
    more_widths=(20,),
    length_train=100,
    length_widths=(5,),
    sizes=(100, 400, 1000),
    size_width=10,
)
