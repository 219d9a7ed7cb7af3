#!/bin/bash
# Evaluations of many models, each by one GPU (docs/guide/scale.md). One line of the file RUNS is one
# run folder; give as many array tasks as it has lines. Submitted again, each goes on:
#   RUNS=runs.txt DATA=/shared/parts OUT=/shared/results sbatch --array=1-"$(wc -l <runs.txt)" evaluate.sh
#SBATCH --job-name=partlab-evaluate
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=4G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A-%a.log
set -euo pipefail
: "${RUNS:?a file with one run folder on each line}"
: "${DATA:?the part data set}"
: "${OUT:?where the results go, which every machine sees}"
: "${SLURM_ARRAY_TASK_ID:?submit it with --array=1-N}"
export OMP_NUM_THREADS=8

run=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$RUNS")
: "${run:?line $SLURM_ARRAY_TASK_ID of $RUNS is empty}"
srun partlab evaluate "$run" "$DATA" --out "$OUT" --threats linf:4/255 --attacks autoattack "$@"
