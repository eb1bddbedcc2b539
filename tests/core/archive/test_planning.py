import datetime as dt

import numpy as np
from instageo_plugin.core.archive.planning import plan_searches

JUNE = dt.date(2022, 6, 8)


def test_every_label_and_date_is_covered():
    rng = np.random.default_rng(0)
    places = rng.uniform((8, 47), (12, 50), (300, 2))
    targets = [[JUNE - dt.timedelta(days=int(d)) for d in rng.integers(0, 900, 3)] for _ in places]
    searches = plan_searches(np.hstack([places, places]), targets, 5)
    for number, (place, dates) in enumerate(zip(places, targets)):
        for date in dates:
            assert any(
                number in s.labels
                and (s.first <= date - dt.timedelta(days=5))
                and (date + dt.timedelta(days=5) <= s.last)
                and s.box.bounds[0] <= place[0] <= s.box.bounds[2]
                and s.box.bounds[1] <= place[1] <= s.box.bounds[3]
                for s in searches
            )


def test_ten_thousand_points_do_not_mean_ten_thousand_searches():
    places = np.random.default_rng(0).uniform((10, 50), (12, 52), (10_000, 2))
    searches = plan_searches(np.hstack([places, places]), [[JUNE]] * len(places), 5)
    assert len(searches) == 4
    assert sum(len(search.labels) for search in searches) == 10_000


def test_years_apart_are_searched_apart_and_months_together():
    place = np.array([[10.5, 50.5, 10.5, 50.5]])
    near = [JUNE, JUNE - dt.timedelta(days=30), JUNE - dt.timedelta(days=60)]
    assert len(plan_searches(place, [near], 5)) == 1
    far = plan_searches(place, [[JUNE, JUNE.replace(year=2018)]], 5)
    assert [(s.first, s.last) for s in far] == [
        (dt.date(2018, 6, 3), dt.date(2018, 6, 13)),
        (dt.date(2022, 6, 3), dt.date(2022, 6, 13)),
    ]
