#!/bin/bash
# A part of a run for each member of an array, then all of them together, from the package's folder:
#   job=$(sbatch --parsable --array=0-7 deploy/slurm.sh)
#   sbatch --dependency=afterok:$job deploy/slurm.sh
# Whatever follows the script's name goes to `deno task sample`, and must be the same for every member.
#SBATCH --job-name=ddpm-sample
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=02:00:00
set -euo pipefail
out=${OUT:-runs/scale}
if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
  exec deploy/shard.sh --count "${COUNT:-10000}" "$@" \
    --npz "$out/parts/samples.npz" --out "$out/grids/part.png" --singles "$out/samples"
fi
exec deno task sample --merge "$out/parts" --npz "$out/samples.npz" --out "$out/samples.png"
