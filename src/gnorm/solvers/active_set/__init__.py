"""The interior point on the samples that shape the solution."""
