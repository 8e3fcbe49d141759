# SPDX-License-Identifier: MIT
SCRIPT_TESTS += tests/man/test_protocol.sh tests/man/test_pages.sh
