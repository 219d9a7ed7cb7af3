#!/bin/bash
# A recognition training by all GPUs of several machines (docs/guide/scale.md). Out of time or taken
# off a machine it is queued again, and goes on from its last checkpoint:
#   DATA=/shared/parts OUT=/shared/runs/mpm sbatch --nodes 2 train.sh pinpp_at --model mpm
#SBATCH --job-name=partlab-train
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=0
#SBATCH --time=72:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail
: "${DATA:?a part data set or label-map file, also at s3://…}"
: "${OUT:?the folder of the run, which every machine sees}"
export OMP_NUM_THREADS=1

head=${SLURM_LAUNCH_NODE_IPADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
srun --kill-on-bad-exit=1 torchrun \
  --nnodes "$SLURM_NNODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" \
  --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$head:${PORT:-29500}" \
  --no-python partlab train run "$@" --data "$DATA" --out "$OUT"
