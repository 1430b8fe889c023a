"""Of which degree a transformer is in its weights, block by block and as a whole
==============================================================================

    python examples/plot_transformer_homogeneity.py [figure]

First the blocks: the degree that their form says, and the one measured. Then the experiment of
Merrill et al. (2021): an encoder of 12 layers with random weights (d = 768, 12 heads, feed-forward
512), in which all parameters are multiplied by c; the cosine between its encodings at c and at
1000, and the degree that they show. Normalisation comes after each residual branch, which leaves
degree 0, or before it, where the stream takes the degree of the branches, 2, once they outweigh the
tokens; with biases or without. Last, a batch normalisation, which its small constant keeps from
being of degree 0 until the inputs are large. It prints the tables and saves a figure, by default to
docs/images/transformer_homogeneity.svg.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gnorm.homogeneity import approximate_homogeneity, estimate_degree, limit_along

N_LAYERS, N_HEADS, WIDTH, HIDDEN = 12, 12, 768, 512
N_TOKENS = 16
SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
REFERENCE = 1000.0
# Standard deviation of weights and biases: what BERT-like encoders start from.
STD = 0.02
VARIANTS = {
    "post-norm, no bias": (False, False, "#0072B2", "-"),
    "post-norm, bias": (False, True, "#56B4E9", "--"),
    "pre-norm, no bias": (True, False, "#D55E00", "-"),
    "pre-norm, bias": (True, True, "#E69F00", "--"),
}


def normalise(X):
    """Layer normalisation without affine part and without a constant: degree 0."""
    centred = X - X.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True))


def attention(X, w, n_heads=N_HEADS):
    n_tokens, width = X.shape
    q, k, v = (
        (X @ w[name] + w[f"{name}_bias"]).reshape(n_tokens, n_heads, -1) for name in ("q", "k", "v")
    )
    scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(width / n_heads)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.einsum("hij,jhd->ihd", shares, v).reshape(n_tokens, width) @ w["o"] + w["o_bias"]


def feed_forward(X, w):
    return np.maximum(X @ w["up"] + w["up_bias"], 0) @ w["down"] + w["down_bias"]


def encoder(tokens, weights, pre_norm):
    X = tokens
    for w in weights:
        for block in (attention, feed_forward):
            X = X + block(normalise(X), w) if pre_norm else normalise(X + block(X, w))
    return X


def draw_weights(rng, n_layers, width, hidden, bias, dtype=np.float32):
    shapes = {name: (width, width) for name in "qkvo"}
    shapes |= {"up": (width, hidden), "down": (hidden, width)}

    def draw(*shape):
        return (STD * rng.standard_normal(shape)).astype(dtype)

    layers = []
    for _ in range(n_layers):
        layer = {name: draw(*shape) for name, shape in shapes.items()}
        for name, shape in shapes.items():
            layer[f"{name}_bias"] = draw(shape[1]) * bias
        layers.append(layer)
    return layers


def degrees_of_blocks():
    """Degree in the weights that the form of each block says, and the measured one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5, 8))
    [plain], [biased] = (draw_weights(rng, 1, 8, 6, bias, np.float64) for bias in (False, True))
    large = 1e3 / STD  # weights at which the softmax takes the largest score alone

    def in_weights(block, w, names, factor=1.0):
        """Degree in the weights named, each times `factor`, the others as they are."""
        return estimate_degree(
            lambda c: np.stack([block(w | {n: factor * a * w[n] for n in names}) for a in c[:, 0]]),
            [[1.0]],
        )

    ff, heads = ("up", "down"), ("q", "k", "v", "o")
    biases = tuple(f"{name}_bias" for name in ff)
    flat = {
        "linear map": ("1", in_weights(lambda w: (X @ w["q"]).ravel(), plain, "q")),
        "feed-forward, ReLU": ("2", in_weights(lambda w: feed_forward(X, w).ravel(), plain, ff)),
        "the same with biases": (
            "none",
            in_weights(lambda w: feed_forward(X, w).ravel(), biased, ff + biases),
        ),
        "layer normalisation, of its input": (
            "0",
            in_weights(lambda w: normalise(X @ w["q"]).ravel(), plain, "q"),
        ),
        "attention, in values and output": (
            "2",
            in_weights(lambda w: attention(X, w, 2).ravel(), plain, ("v", "o")),
        ),
        "attention, in all weights": (
            "none",
            in_weights(lambda w: attention(X, w, 2).ravel(), plain, heads, 30.0),
        ),
        "the same, weights large": (
            "2",
            in_weights(lambda w: attention(X, w, 2).ravel(), plain, heads, large),
        ),
    }
    return flat


def draw(measured, scales, normalised):
    figure = Figure(figsize=(10.0, 3.8), layout="constrained")
    cosine, degree, batch = figure.subplots(1, 3)
    for name, record in measured.items():
        _, _, colour, dashes = VARIANTS[name]
        style = {"color": colour, "linestyle": dashes, "label": name, "linewidth": 1.8}
        cosine.plot(record.scales, record.cosine, **style)
        middle = np.sqrt(record.scales[1:] * record.scales[:-1])
        degree.plot(middle, record.local_degrees, **style)
    for ax in (cosine, degree):
        ax.set(xscale="log", xlabel="factor of all parameters")
        ax.set_xticks([1, 2, 3, 4, 6, 10], ["1", "2", "3", "4", "6", "10"])
        ax.minorticks_off()
    cosine.set(ylim=(0, 1.03), ylabel=f"cosine to the encoding at {REFERENCE:g}")
    cosine.set_title("a  direction of the encodings", loc="left", fontsize="medium")
    degree.set(ylabel="slope of log norm", ylim=(-0.1, 2.2), yticks=[0, 1, 2])
    degree.set_title("b  local degree of the encodings", loc="left", fontsize="medium")
    batch.plot(scales, normalised, color="#009E73", marker="o", markersize=4)
    batch.set(
        xscale="log", xlabel="size of the inputs", ylabel="size of the outputs", ylim=(0, 1.1)
    )
    batch.axhline(1, color="0.6", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    batch.set_title("c  batch normalisation, constant $10^{-5}$", loc="left", fontsize="medium")
    figure.legend(
        *cosine.get_legend_handles_labels(), frameon=False, loc="outside lower left", ncols=4
    )
    return figure


def batch_normalisation(X, constant=1e-5):
    """Of three features of a batch of two samples, laid out as one row each."""
    batches = X.reshape(len(X), 2, 3)
    centred = batches - batches.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + constant)
    return scaled.reshape(len(X), 6)


def main(path="docs/images/transformer_homogeneity.svg"):
    print(f"{'block':<36}{'degree':>8}  measured")
    for name, (stated, degree) in degrees_of_blocks().items():
        value, spread = np.median(degree.value), np.max(degree.spread)
        text = f"{value:.2f} +- {spread:.0e}" if np.isfinite(spread) else "sign changes"
        print(f"{name:<36}{stated:>8}  {text}")

    rng = np.random.default_rng(0)
    tokens = normalise(rng.standard_normal((N_TOKENS, WIDTH)).astype(np.float32))
    print(f"\n{'encoder':<22}{'degree*':>8}  cosine to c = {REFERENCE:g}, at c =")
    print(" " * 30 + "".join(f"{c:>8g}" for c in SCALES))
    measured = {}
    for name, (pre_norm, bias, *_) in VARIANTS.items():
        weights = draw_weights(np.random.default_rng(1), N_LAYERS, WIDTH, HIDDEN, bias)
        record = approximate_homogeneity(
            lambda w, pre_norm=pre_norm: encoder(tokens, w, pre_norm),
            weights,
            SCALES,
            reference=REFERENCE,
        )
        measured[name] = record
        cells = "".join(f"{value:8.3f}" for value in record.cosine)
        print(f"{name:<22}{abs(record.local_degrees[-1]):8.3f}{cells}")
    print(f"* between c = {SCALES[-2]:g} and {SCALES[-1]:g}")

    X = rng.normal(size=(1, 6))
    X /= np.linalg.norm(X)
    scales = np.logspace(-4, 1, 21)
    limit = np.linalg.norm(limit_along(batch_normalisation, X[0]))
    sizes = np.linalg.norm(batch_normalisation(scales[:, None] * X), axis=1) / limit
    print("\nbatch normalisation: size of the outputs relative to their limit")
    for scale, size in list(zip(scales, sizes, strict=True))[::4]:
        print(f"  inputs of size {scale:<7.2g} {size:.4f}")

    figure = draw(measured, scales, sizes)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
