"""Loads the plugin, nothing else: `pytest checks/` in the checkout examines what `sage-doctor` would."""

pytest_plugins = ["sage_doctor.suite.plugin"]
