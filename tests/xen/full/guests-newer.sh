#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Guests with a newer kernel than the rig's: that of Debian's trixie.
exec "$(dirname "$0")/guests.sh" linux-image-amd64/trixie 6.12
