#!/bin/sh
# Builds benchmarks/.environments/NAME for each benchmarks/peers/NAME.txt: every peer has its own pins.
# An environment that is there and fits its list is left alone.
set -eu
python=${1:-python3}
here=$(dirname "$0")

for list in "$here"/peers/*.txt; do
    name=$(basename "$list" .txt)
    environment="$here/.environments/$name"
    if cmp -s "$list" "$environment/installed.txt"; then
        echo "$name: there"
        continue
    fi
    echo "$name: building"
    rm -rf "$environment"
    "$python" -m venv "$environment"
    # A list that asks for it is installed as it stands: what its packages ask for is not looked at.
    option=$(sed -n 's/^# pip: *//p' "$list")
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check $option --requirement "$list"
    cp "$list" "$environment/installed.txt"
done
