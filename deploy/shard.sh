#!/bin/sh
# Draws the part of a run that falls to this member of a Kubernetes Indexed Job or a Slurm array:
#   deploy/shard.sh FLAGS OF `deno task sample`, the same for every member
set -eu
if [ -n "${JOB_COMPLETION_INDEX:-}" ]; then
  index=$JOB_COMPLETION_INDEX
  parts=${PARTS:?Expected PARTS to be the completions of the job}
else
  : "${SLURM_ARRAY_TASK_ID:?Expected JOB_COMPLETION_INDEX or SLURM_ARRAY_TASK_ID}"
  index=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))
  parts=$SLURM_ARRAY_TASK_COUNT
fi
exec deno task sample "$@" --shard "$index/$parts"
