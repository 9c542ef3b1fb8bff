#!/bin/sh
# Builds the static libopenvswitch from a source tarball or tree, once. Called by CMake.
# Usage: build-openvswitch.sh SOURCE DESTINATION. DESTINATION/lib/.libs/libopenvswitch.a is the result.
# The generated sources are made one by one first: a parallel make of the library alone does not know that it needs them.
set -eu
source=$1
dest=$2
mkdir -p "$dest"
if [ -f "$source" ]; then
    tar -xf "$source" -C "$dest" --strip-components=1
else
    cp -a "$source/." "$dest/"
fi
cd "$dest"
[ -x configure ] || ./boot.sh
CFLAGS='-O2 -fPIC -g0' ./configure --disable-shared --enable-static --enable-ssl --disable-libcapng --disable-unbound \
    --with-dbdir=/etc/openvswitch --prefix=/usr --localstatedir=/var --sysconfdir=/etc >configure.log 2>&1
for made in include/odp-netlink.h include/odp-netlink-macros.h lib/vswitch-idl.h lib/ovsdb-server-idl.h; do
    make "$made" >>make.log 2>&1
done
make -j"$(nproc)" lib/libopenvswitch.la >>make.log 2>&1
