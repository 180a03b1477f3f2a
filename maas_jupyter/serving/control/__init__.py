"""The control plane: what should serve, how it came to be, and the steps from one state to the next."""
