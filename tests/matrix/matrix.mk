# SPDX-License-Identifier: MIT
#
# The offload matrix with real stacks: a pairwise part in 'make check', all 1024
# combinations in 'make check-full'.
PROGRAMS += matrix-run
matrix-run-objs := tests/matrix/matrix-run.c
matrix-run-libs := -ljansson

SCRIPT_TESTS += tests/matrix/test_offload.sh
FULL_TESTS   += tests/matrix/full_offload.sh

PROGRAMS += odd-frames
odd-frames-objs := tests/matrix/odd-frames.c tests/unit/samples.c tests/unit/frames.c
