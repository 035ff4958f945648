"""Hard-coded paths of machines in scripts, units and configuration.

`find` reads files and classifies the paths in them, `scan` does that for the files of a host, and `rewrite` plans and
writes paths that work on every machine.
"""
