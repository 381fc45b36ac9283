"""The log's limit for messages that can be triggered remotely."""

import logging

import pytest

from edgepose.system.log_limit import MAX_KINDS, RepeatFilter


class TestRepeatFilter:
    """One record per kind and interval."""

    @pytest.fixture
    def clock(self) -> list[float]:
        return [0.0]

    @pytest.fixture
    def log(self, clock: list[float]) -> logging.Logger:
        made = logging.getLogger("tests.repeated")
        made.filters = [RepeatFilter(60, lambda: clock[0])]
        return made

    def test_a_kind_is_logged_once_and_counted(
        self, log: logging.Logger, clock: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Records with the same format string are counted; others are logged."""
        for number in range(100):
            log.warning("bad request from %s", number)
        log.warning("another thing")
        clock[0] = 60
        log.warning("bad request from %s", 100)

        assert caplog.messages == [
            "bad request from 0",
            "another thing",
            "bad request from 100 (99 more like this before)",
        ]

    def test_errors_of_other_places_are_other_kinds(
        self, log: logging.Logger, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Exceptions raised at different places are different kinds."""
        for _ in range(3):
            for raise_ in (lambda: 1 / 0, lambda: int("x"), lambda: {}["x"]):
                try:
                    raise_()
                except Exception:
                    log.exception("a fault")

        assert len(caplog.records) == 3

    def test_it_remembers_so_many_kinds(self, log: logging.Logger) -> None:
        """The number of remembered kinds is bounded."""
        (limit,) = log.filters
        for number in range(10 * MAX_KINDS):
            log.warning(f"{number} is a message of its own")  # as libraries do

        assert isinstance(limit, RepeatFilter)
        assert len(limit._seen) <= MAX_KINDS
