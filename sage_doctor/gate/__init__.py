"""The gate: may a session of this role start now? Decided in bounded time, by a result that still holds or a new one.

`supervision` bounds everything: the decision is made in a child (`system.guard`) that can be left behind. There
`evaluation` looks for a recorded result (`result_cache`, `reuse`), else `examination` runs the suite, one gate at a
time (`gate_lock`), and loads only models whose own result (`load_results`) is outdated. `decision` is what comes out,
`launch` starts the command.
"""
