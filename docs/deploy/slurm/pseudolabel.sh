#!/bin/bash
# Pseudo labels by several GPUs of several machines (docs/guide/scale.md). Each task makes every n-th
# shard; they do not talk to each other. Submitted again, it goes on where it stopped:
#   IMAGES=s3://bucket/photos RUN=/shared/runs/seg STORE=s3://bucket/pseudo sbatch --nodes 4 pseudolabel.sh
#SBATCH --job-name=partlab-pseudolabel
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=4G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail
: "${IMAGES:?a folder of pictures, a list or a data set, also at s3://…}"
: "${RUN:?the folder of a trained segmenter, which every machine sees}"
: "${STORE:?where the labels go, also at s3://…}"
export OMP_NUM_THREADS=1 IMAGES RUN STORE

# One task that fails ends all: the job is requeued, and nothing that is stored is made again.
# shellcheck disable=SC2016 # the task's own variables
srun --kill-on-bad-exit=1 bash -c '
  export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=0 LOCAL_WORLD_SIZE=1
  exec partlab pseudolabel "$IMAGES" --segmenter "$RUN" --out "$STORE" --workers "${WORKERS:-7}" "$@"
' task "$@"
