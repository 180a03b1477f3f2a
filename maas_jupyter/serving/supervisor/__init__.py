"""The server as processes: one that supervises, and workers that answer requests."""
