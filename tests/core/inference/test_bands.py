import pytest
from instageo_plugin.core.contract.dataset import InputSpec
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.inference.bands import band_list, map_bands


def spec(timesteps=1, bands=("blue", "green", "red")):
    return InputSpec("custom", bands, "int16", timesteps=timesteps)


def raster(*descriptions, path="/a.tif", source=0):
    return band_list(path, source, {i + 1: text for i, text in enumerate(descriptions)})


def numbers(steps):
    return [step.bands for step in steps]


def test_bands_are_found_by_name_whatever_their_order_and_case():
    steps = map_bands(spec(), [raster("NIR", "Red", "GREEN 2022-05-02", "blue")])
    assert numbers(steps) == [(4, 3, 2)]
    assert not steps[0].by_order


def test_each_raster_is_a_timestep():
    steps = map_bands(spec(2), [raster("blue", "green", "red"), raster("red", "green", "blue", source=1)])
    assert [(step.source, step.bands) for step in steps] == [(0, (1, 2, 3)), (1, (3, 2, 1))]


def test_stack_is_ordered_by_the_dates_in_its_descriptions():
    stack = raster(*(f"{band} {date}" for date in ("2022-06-01", "2022-05-02") for band in ("red", "green", "blue")))
    assert numbers(map_bands(spec(2), [stack])) == [(6, 5, 4), (3, 2, 1)]


def test_stack_without_dates_is_cut_into_equal_runs():
    assert numbers(map_bands(spec(2), [raster("blue", "green", "red", "blue", "green", "red")])) == [
        (1, 2, 3),
        (4, 5, 6),
    ]
    assert numbers(map_bands(spec(2), [raster(*[None] * 6)])) == [(1, 2, 3), (4, 5, 6)]


def test_unnamed_bands_count_by_order_only_when_they_are_as_many():
    (step,) = map_bands(spec(), [raster("Band 1", "Band 2", "Band 3")])
    assert step.bands == (1, 2, 3)
    assert step.by_order
    with pytest.raises(InstaGeoError, match=r"4 bands without names; the model expects 3 \(blue, green, red\)"):
        map_bands(spec(), [raster(None, None, None, None)])


def test_other_names_are_never_taken_by_order():
    with pytest.raises(InstaGeoError, match=r"3 bands \(B04, B03, B02\).*not found: blue, green, red"):
        map_bands(spec(), [raster("B04", "B03", "B02")])


def test_bands_that_had_no_names_when_chips_were_made():
    assert numbers(map_bands(spec(bands=("b1", "b3")), [raster(None, None, None)])) == [(1, 3)]


def test_mapping_by_name_and_by_number():
    names = raster("B02", "B03", "B04")
    assert numbers(map_bands(spec(), [names], "blue:B02 GREEN:2, red:b04")) == [(1, 2, 3)]
    assert numbers(map_bands(spec(bands=("near infrared",)), [names], "'near infrared:B04'")) == [(3,)]
    stack = raster(*[None] * 8)
    assert numbers(map_bands(spec(2), [stack], "blue:4 green:3 red:1")) == [(4, 3, 1), (8, 7, 5)]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("blue=1", "'blue=1' is no pair"),
        ("nir:1", "no band 'nir'; it has blue, green, red"),
        ("blue:1 blue:2", "'blue' stands twice"),
        ("blue:9 green:2 red:3", r"not found: blue \(9\)"),
        ("blue:B8A", r"blue \(B8A\), green, red"),
        ("'blue:1", "Close the quotes"),
    ],
)
def test_wrong_mappings_are_explained(mapping, message):
    with pytest.raises(InstaGeoError, match=message):
        map_bands(spec(), [raster("B02", "B03", "B04")], mapping)


def test_too_few_timesteps():
    with pytest.raises(InstaGeoError, match="2 rasters are given; the model expects 3 timesteps"):
        map_bands(spec(3), [raster("blue"), raster("blue")])
    with pytest.raises(InstaGeoError, match=r"expects 2 timesteps of 3 bands .*, 6 in all"):
        map_bands(spec(2), [raster(None, None, None)])
