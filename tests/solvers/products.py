"""What the products with coded features have to agree in, in whatever form these are."""

from numpy.testing import assert_allclose


def check_products(design, explicit, coef, weights, mu):
    """Compare with the features of all samples, one a row, and with the sums over all contexts."""
    coded = design.coded_features
    V = coded.sums(coef)
    assert_allclose(coef @ explicit, V, atol=1e-12)
    assert_allclose(explicit @ V, coded.values(V), atol=1e-9)
    assert_allclose(design.feature_gram(weights), explicit.T * weights @ explicit, atol=1e-11)
    assert_allclose(coded.of(design.sums(coef)), V, atol=1e-12)
    assert_allclose(coded.decoded(V), design.sums(coef), atol=1e-12)
    # the kernels, and what is made of them
    assert_allclose(coef @ design.exact_products(coef), coded.squares(V), rtol=1e-10)
    projected = coded.projected(V)
    assert_allclose(explicit @ projected.T, design.exact_products(coef), atol=1e-9)
    assert_allclose(coded.combined(mu, V), mu @ projected, atol=1e-10)
    root = coded.root(mu)
    assert_allclose(root.adjoint(root.times(V)), mu @ projected, atol=1e-10)
    assert_allclose(root.solved(root.times(V)), V, atol=1e-9)
    assert_allclose(root.adjoint(root.adjoint_solved(projected)[2]), projected[2], atol=1e-9)
