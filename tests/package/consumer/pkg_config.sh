#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles and runs the consumer with nothing but pkg-config's word for it.
# Usage: pkg_config.sh SOURCE PREFIX/LIBDIR OUTPUT CXX. Fails with the compiler's or the program's status.
set -eu
PKG_CONFIG_PATH="$2/pkgconfig"
export PKG_CONFIG_PATH
flags=$(pkg-config --cflags --libs weft)
# The flags are words for the compiler, so they are split on purpose.
# shellcheck disable=SC2086
"$4" -std=c++20 -DWEFT_CONSUMER_WHOLE "$1" -o "$3" $flags
exec "$3"
