"""Take the picture of the report for the README: the top of the page, by headless Chromium.

python scripts/report_picture.py [--report runs/history/report.html] [--out docs/pictures/report.png]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)
INSTALL = """No Chromium was found. Install one and run this again:
    Debian, Ubuntu   sudo apt-get update && sudo apt-get install --yes chromium
    Fedora           sudo dnf install chromium
    macOS            brew install --cask chromium
"""


def main() -> int:
    """Take the picture; return 0, or 2 if something is missing that the user can supply."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, default=Path("runs/history/report.html"))
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/report.png"))
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=2010)
    given = parser.parse_args()
    if not given.report.is_file():
        sys.stderr.write(
            f"{given.report} does not exist; create it with `make history`, or name another with --report.\n"
        )
        return 2
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.stderr.write(INSTALL)
        return 2
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser,
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--window-size={given.width},{given.height}",
            f"--screenshot={given.out.resolve()}",
            given.report.resolve().as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode or not given.out.is_file():
        sys.stderr.write(f"{browser} took no picture (exit code {done.returncode}):\n{done.stderr[-2000:]}\n")
        return 1
    sys.stdout.write(f"{given.out} ({given.out.stat().st_size:,} bytes)\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
