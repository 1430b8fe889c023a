"""Tests: a package, so that no other of that name, in an installed distribution, comes before it."""
