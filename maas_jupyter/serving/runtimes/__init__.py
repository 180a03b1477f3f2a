"""What executes a bundle's model."""
