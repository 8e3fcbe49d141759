# SPDX-License-Identifier: MIT
FULL_TESTS   += tests/life/full_dialects.sh
ALONE_TESTS  += tests/life/test_queues.sh
SCRIPT_TESTS += tests/life/test_life.sh tests/life/test_scale.sh tests/life/test_dialects.sh tests/life/test_ctrl.sh tests/life/test_link.sh
