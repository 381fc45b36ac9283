"""The log level set by the request `log_level`, which overrides the file across restarts."""

from edgepose.config.schema import Config
from edgepose.system import logs
from edgepose.system.logs import Level
from edgepose.system.storage import StateFile


class LogLevel:
    """Stores and applies the requested log level.

    Parameters
    ----------
    file : StateFile
        Stores the level, of type `Level | None`.
    """

    def __init__(self, file: StateFile) -> None:
        self._file = file
        self._requested: Level | None = file.read()

    def current(self, config: Config) -> Level:
        """Return the level in force: the requested one, else that of the file."""
        return self._requested or config.log.level

    def store(self, level: Level | None) -> None:
        """Keep a requested level; None restores the value of the file."""
        self._requested = level
        self._file.write(level)

    def apply(self, config: Config) -> None:
        """Configure logging with the level in force."""
        logs.configure(self.current(config), config.log.format)
