"""One file a repair, found by its decorator (`registry`). Dropping a file in adds one."""
