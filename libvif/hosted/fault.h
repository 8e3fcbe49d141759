/* SPDX-License-Identifier: MIT */
/* The fault plan of this process (hosted.h, hosted_fault_plan). */
#ifndef VIF_HOSTED_FAULT_H
#define VIF_HOSTED_FAULT_H

#include <stdbool.h>

enum hx_fault {
	HX_FAULT_MAP,
	HX_FAULT_COPY,
	HX_FAULT_DROP,
	HX_FAULT_DUP,
	HX_FAULT_DELAY,
	HX_N_FAULTS
};

/* Counts one call of that kind; true if it is to suffer. Any thread. */
bool hx_fault(enum hx_fault kind);

/* True if any call may suffer: lets fast paths skip the counting. */
bool hx_faults_planned(void);

#endif
