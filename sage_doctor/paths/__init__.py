"""The paths of one machine in scripts, units and configuration: finding them, and rewriting them for every machine."""
