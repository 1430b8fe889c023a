"""Tests, as a package: none of that name in an installed distribution comes before it."""
