"""The virtual environment of the official program: made when it is missing, and how it is run."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent_runtime.errors import ConfigError

PACKAGE = "bfcl-eval==2026.3.23"
"""The version our rules were compared with."""

_HERE = Path(__file__).parent
_WINDOWS = sys.platform == "win32"


class OfficialProgram:
    """bfcl-eval in an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._python = self.folder / ("Scripts/python.exe" if _WINDOWS else "bin/python")

    def install(self) -> bool:
        """Make the environment unless it is there; about 600 MB. Whether there was something to do.

        Raises:
            ConfigError: the folder is ours or something else, or pip failed.
        """
        if self.folder == Path(sys.prefix).resolve():
            raise ConfigError(f"--venv {self.folder} is the environment this runs in: give another folder")
        if self._find_data() is not None:
            return False
        if self.folder.exists() and any(self.folder.iterdir()) and not self._python.exists():
            raise ConfigError(
                f"--venv {self.folder} is no virtual environment: give an empty or a new folder"
            )
        venv.create(self.folder, with_pip=True)
        self._pip("-r", str(_HERE / "requirements.txt"))
        self._pip("--no-deps", PACKAGE)  # last: that it is there says that the rest is too
        return True

    @property
    def data(self) -> Path:
        """The folder of question files that the program brings along.

        Raises:
            ConfigError: the program is not installed.
        """
        found = self._find_data()
        if found is None:
            raise ConfigError(f"{self.folder} holds no bfcl-eval: remove the folder and start again")
        return found

    def run(self, root: Path, names: Sequence[str], argv: Sequence[str], **environment: str) -> None:
        """Run the program's command line.

        Args:
            root: where it keeps results and scores.
            names: models it must know.
            argv: what its command line takes.
            environment: variables to set.

        Raises:
            ConfigError: it failed; what it said stands on the screen.
        """
        command = [str(self._python), "-P", str(_HERE / "launcher.py"), ",".join(names), *argv]
        settings = {**_clean(os.environ), "BFCL_PROJECT_ROOT": str(root.resolve()), **environment}
        ended = subprocess.run(command, env=settings, check=False)
        if ended.returncode:
            raise ConfigError(f"the official program ended with status {ended.returncode}: see above")

    def _find_data(self) -> Path | None:
        pattern = "Lib/site-packages" if _WINDOWS else "lib/python3*/site-packages"
        return next(self.folder.glob(f"{pattern}/bfcl_eval/data"), None)

    def _pip(self, *argv: str) -> None:
        command = [str(self._python), "-m", "pip", "install", "--quiet", *argv]
        if subprocess.run(command, check=False).returncode:
            raise ConfigError(f"pip could not install {argv[-1]} into {self.folder}: see above")


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would lead a program of another environment to our packages."""
    return {key: value for key, value in environment.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
