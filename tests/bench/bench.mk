# SPDX-License-Identifier: MIT
PROGRAMS += tap-pump
tap-pump-objs := tests/bench/tap-pump.c
