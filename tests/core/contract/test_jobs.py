import dataclasses

import pytest
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import JOBS, CreateChipsJob, FinetuneJob, job_from_plain, job_to_plain


def test_job_round_trips_through_plain_values():
    table = ClassTable((ClassEntry("maize", 3, "Maize", "#00ff00"), ClassEntry("soy", 1, "Soy")))
    job = CreateChipsJob(output="/d", rasters=("/a.tif",), labels="/l.gpkg", class_field="crop", class_table=table)
    assert job_from_plain(job_to_plain(job)) == job


def test_every_problem_of_a_job_is_reported_at_once():
    with pytest.raises(InstaGeoError) as caught:
        CreateChipsJob(output="", chip_size=0, placement="hexagons")
    for part in ("OUTPUT", "CHIP_SIZE is 0", "hexagons", "no imagery", "no labels"):
        assert part in caught.value.message


def test_unknown_and_mistyped_fields_are_named():
    plain = {"kind": "finetune", "dataset": "/d", "output": "/m.safetensors", "epochs": "ten", "epoch": 3}
    with pytest.raises(InstaGeoError, match=r"unknown field 'epoch'[\s\S]*epochs: expected int, found 'ten'"):
        job_from_plain(plain)


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(InstaGeoError, match="'bake'; expected one of checkbackend"):
        job_from_plain({"kind": "bake"})


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_every_field_has_a_type_json_can_carry(kind):
    for field in dataclasses.fields(JOBS[kind]):
        assert isinstance(field.type, str), "annotations stay text, so that Python 3.9 never evaluates them at import"


def test_a_model_file_has_its_own_suffix():
    with pytest.raises(InstaGeoError, match=r"ends in \.safetensors"):
        FinetuneJob(dataset="/d", output="/m.pt")
