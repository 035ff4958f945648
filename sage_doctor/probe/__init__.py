"""The probe: a child process, in the session's interpreter, that loads a model and generates.

`run_probe` starts `script.py` by path and returns a `ProbeOutcome`, whatever the child does. `admit` keeps parallel
probes from loading more than fits into memory.
"""
