"""What earlier runs found on this machine: what is different now, and what is normal here.

What a command does that has examined something with a manifest (`check` does, and `gate`):

    selection = select(request)
    report = examine(request, …, selection=selection)
    if selection.host.history_file is not None:          # else nothing here needs to be imported: sqlite3 costs time
        from sage_doctor.history.recorder import RunRecorder
        recorder = RunRecorder(selection, request, verb="gate", jobs=jobs)
        report = recorder.explained(report)           # reads the file where something was measured, or is red
    …show the report…
    for notice in recorder.record(report): …one line on standard error…

The pieces, for other uses: `series_of(host, targets)` names the runs that can be compared; `take(selection)` makes a
`Snapshot`; `record(report, snapshot, series, verb=…)` records a run; `last_good_run(series, report)` finds the last
good one; `changes_since(good.snapshot, snapshot)` says what differs; `baseline_of(host)` is what checks ask. None of
them raises for what is on the disk, or waits longer than two seconds.
"""
