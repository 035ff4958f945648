"""The toolbox: looking at paths, writing files, locks, child processes. Each job is done here and nowhere else."""
