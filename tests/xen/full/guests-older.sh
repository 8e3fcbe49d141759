#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Guests with an older kernel than the rig's: that of Debian's bullseye.
exec "$(dirname "$0")/guests.sh" linux-image-amd64/bullseye 5.10
