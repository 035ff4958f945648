"""A tree like that of the tool's first users, with what is right about each path in it: built by `layout.lay_out`."""
