"""Bounded readers of hostile files: nothing here blocks, follows a path out, unpickles, or reads without a limit."""
