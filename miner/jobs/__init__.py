"""What the miner does by the clock: jobs declared in code, their history in the ledger.

`job`         what a job is
`clock`       the time that schedules go by
`timetable`   when a job is due (APScheduler's triggers)
`scheduler`   runs them, one task a job, so that none overlaps itself and none holds up another
`blocking`    how a job does work that would hold up the event loop
`declared`    the jobs, one line each
"""

from miner.jobs.blocking import in_thread
from miner.jobs.clock import Clock
from miner.jobs.job import Context, Job, JobFailed, JobRow
from miner.jobs.scheduler import Scheduler

__all__ = ["Clock", "Context", "Job", "JobFailed", "JobRow", "Scheduler", "in_thread"]
