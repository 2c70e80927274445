"""The one part of the build that pyproject.toml cannot say: the records of published figures go into the wheel."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RECORDS = Path(__file__).parent / "reproduction"


class BuildWithRecords(build_py):
    """Copy reproduction/*.json, their one home, to threegen/figures/records, where `threegen reproduce` finds them."""

    def run(self) -> None:
        """Build the package, then copy the records."""
        super().run()
        if self.editable_mode:  # a checkout reads them where they are
            return
        target = Path(self.build_lib) / "threegen" / "figures" / "records"
        target.mkdir(parents=True, exist_ok=True)
        for record in RECORDS.glob("*.json"):
            self.copy_file(str(record), str(target / record.name))


setup(cmdclass={"build_py": BuildWithRecords})
