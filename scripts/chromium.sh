#!/bin/sh
# The tests of the live page run in a real Chromium. Installs it where this may be done, says how where it may not, and
# never fails: without one those tests are skipped by name.
set -u
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    limit=$(command -v timeout) || limit=
    { ${limit:+$limit 120} apt-get update && ${limit:+$limit 400} apt-get install --yes --no-install-recommends chromium; } \
        >/dev/null 2>&1 && exit 0
fi
echo "note: there is no Chromium; the browser tests will be skipped. Install it: sudo apt-get install chromium" >&2
exit 0
