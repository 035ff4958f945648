"""The gate: may a session of this role start now? Decided in bounded time, by a result that still holds or a new one.

`guard` bounds everything: the decision is made in a child that can be left behind. `deciding` looks for a recorded
result (`record`, `reuse`), else `examination` runs the suite, one gate at a time (`turns`), loading only models whose
own result (`results`) holds no more. `decision` is what comes out, `launch` what is started then.
"""
