"""What runs the gate after a reboot and before sessions: lines of cron, units of systemd, jobs of launchd.

    installation = systemd.plan_install(order, place)      # looks, decides, writes nothing
    installation.lines(...)                                # what a person sees before being asked
    installation.apply()                                   # all of it or nothing

`order` says what is wanted, `schedule` when, `program` how the doctor is called from an empty environment. `ownership`
tells files written here from those of others and from those edited since; `installation` is the plan that all three
schedulers make. `crontab`, `systemd` and `launchd` know one scheduler each.
"""
