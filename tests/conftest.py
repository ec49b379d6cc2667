"""For all tests: an example of hypothesis may take as long as it likes, since the machine may be busy."""

from hypothesis import settings

settings.register_profile("any speed", deadline=None)
settings.load_profile("any speed")
