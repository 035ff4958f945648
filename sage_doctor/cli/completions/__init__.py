"""The completion scripts, and what writes them."""
