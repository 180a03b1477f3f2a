"""The wire protocols: each turns requests into arrays for the data plane and its answers back, and nothing else."""
