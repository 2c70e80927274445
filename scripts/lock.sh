#!/bin/sh
# Resolves the lock files anew in two empty environments: what threegen runs on, and the tools of development.
set -eu
python=${1:-python3}
torch="torch==2.13.0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

freeze() { # environment, first line, file
    { echo "$2"; "$1/bin/python" -m pip freeze --exclude threegen --exclude-editable | sed 's/+cpu$//' | sort -f; } >"$3"
}

"$python" -m venv "$work/runtime"
"$work/runtime/bin/python" -m pip install --quiet "$torch" ".[web]"
freeze "$work/runtime" "# Exact versions of everything that threegen runs on; made by \`make lock\`." requirements.lock

"$python" -m venv "$work/dev"
"$work/dev/bin/python" -m pip install --quiet --requirement requirements.lock ".[dev]"
freeze "$work/dev" "# requirements.lock and the tools of development; made by \`make lock\`." requirements-dev.lock

"$python" -m venv "$work/docs"
"$work/docs/bin/python" -m pip install --quiet --requirement requirements.lock ".[docs]"
freeze "$work/docs" "# requirements.lock and what builds the documentation; made by \`make lock\`." requirements-docs.lock
