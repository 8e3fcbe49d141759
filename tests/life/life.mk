# SPDX-License-Identifier: MIT
SCRIPT_TESTS += tests/life/test_life.sh
