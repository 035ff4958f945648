#!/bin/sh
# HealthCheckProgram of slurm.conf: drains this node while the gate of its roles is closed, and takes back only a drain of
# its own. Slurm ends it after 60 seconds, so the gate gets 45; what is not known changes nothing.
#
#   HealthCheckProgram=/etc/slurm/health-check.sh
#   HealthCheckInterval=300
#   HealthCheckNodeState=ANY
node=${SLURMD_NODENAME:-$(hostname -s)}
mark="sage-doctor:"
for role in ${SAGE_DOCTOR_ROLES:?name the roles of this node in SAGE_DOCTOR_ROLES}; do
    why=$(sage-doctor gate "$role" --timeout 45s 2>&1)
    case $? in
    0) ;;
    1)
        scontrol update NodeName="$node" State=DRAIN Reason="$mark $role: $(printf %s "$why" | tr '\n' ' ' | cut -c1-120)"
        exit 0
        ;;
    *) exit 0 ;;
    esac
done
case $(scontrol show node "$node" | sed -n 's/.*Reason=//p') in
"$mark"*) scontrol update NodeName="$node" State=RESUME ;;
esac
exit 0
