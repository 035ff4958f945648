"""Repairs: plan, consent, change, verify, keep or roll back. `actions/` has one file for each repair."""
