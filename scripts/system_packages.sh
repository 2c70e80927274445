#!/bin/sh
# numba runs its parallel kernels on GNU OpenMP, which a bare system may lack. Installs it where this may be done,
# says how where it may not, and never fails: threegen works without it, on one core.
set -u
[ "$(uname -s)" = Linux ] || exit 0
if ldconfig -p 2>/dev/null | grep -q 'libgomp\.so\.1'; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    { apt-get update && apt-get install --yes libgomp1; } >/dev/null 2>&1 && exit 0
fi
echo "note: libgomp is missing; event kernels will run on one core. Install it: sudo apt-get install libgomp1" >&2
exit 0
