#!/bin/sh
# Prolog of slurm.conf: a job that names a role in its comment (`sbatch --comment=role:raising`) starts only where that
# role can run now. A prolog that fails puts the job back into the queue and drains the node.
role=$(scontrol show job "${SLURM_JOB_ID:?}" | sed -n 's/.*Comment=role:\([A-Za-z0-9_-]*\).*/\1/p')
[ -z "$role" ] && exit 0
exec sage-doctor gate "$role" --timeout 45s
