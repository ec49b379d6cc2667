import pytest


@pytest.fixture(params=["thread", "child"])
def kind(request):
    """Which engine."""
    return request.param
