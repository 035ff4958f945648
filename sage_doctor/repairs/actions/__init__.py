"""One file per repair, found by its decorator (`registry`). Adding a file adds a repair."""
