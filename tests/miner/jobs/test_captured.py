"""The job that lets kept pictures go."""

import pytest

from miner.jobs.captured import captured
from miner.jobs.job import Context, JobFailed

NOW = Context("capture", "schedule", 0.0)


async def test_it_says_how_many_went():
    assert await captured(lambda: 3)(NOW) == "3 kept pictures let go"


async def test_a_disk_that_refuses_is_a_failed_run():
    def refuses():
        raise OSError("read-only")

    with pytest.raises(JobFailed, match="still there: read-only"):
        await captured(refuses)(NOW)
