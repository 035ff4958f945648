"""Runs the gate after a reboot and before sessions: crontab lines, systemd units, launchd jobs.

    installation = systemd.plan_install(order, location)   # writes nothing
    installation.lines()                                   # shown to the user before asking
    installation.apply()                                   # all changes or none

`order` says what to install, `schedule` when to run it, `bare_environment` how to start sage-doctor without one.
`ownership` tells files written by sage-doctor from others and from those edited since. `crontab`, `systemd` and
`launchd` plan for one scheduler each.
"""
