"""The checks, run by pytest in this process: subjects and checks become a report."""
