"""The experiments of the paper, redone: data first."""
