# SPDX-License-Identifier: MIT
SCRIPT_TESTS += tests/man/test_protocol.sh
