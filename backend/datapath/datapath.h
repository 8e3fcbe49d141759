/* SPDX-License-Identifier: MIT */
/*
 * Rank 7: the datapath process: `vifd --datapath`, started by control only.
 */
#ifndef VIF_DATAPATH_H
#define VIF_DATAPATH_H

/* Serves until control stops it or is gone. Returns the exit status: 0, or 1 when it
 * could not start or a ring failed. */
int datapath_main(void);

#endif
