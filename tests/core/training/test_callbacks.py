import pytest
from instageo_plugin.core.training.callbacks import spoken_time


@pytest.mark.parametrize(
    ("seconds", "spoken"), [(0.2, "1 s"), (59, "59 s"), (61, "1 min"), (3599, "1 h 0 min"), (4800, "1 h 20 min")]
)
def test_durations_as_users_read_them(seconds, spoken):
    assert spoken_time(seconds) == spoken
