"""What writes files that are kept in the repository. No installation needs it: `python -m tools.NAME`."""
