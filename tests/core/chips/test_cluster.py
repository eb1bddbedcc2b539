"""Chips made by Dask workers: real processes, one of which is killed; the dataset is the same to the byte."""

import hashlib
import json
import os
import pickle
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
from distributed import Client, LocalCluster
from instageo_plugin.core.chips import cluster
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import ArchiveChoice

# Dask leaves sockets of its own for the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
ROOT = Path(__file__).resolve().parents[3]
CORNER = (500_010, 5_700_000)
S30 = ("B02", "B03", "B04", "B8A", "B11", "B12")


@pytest.fixture(scope="module")
def dask_workers(tmp_path_factory):
    """A scheduler with two workers, each a process of its own that can import the package."""
    packages = tmp_path_factory.mktemp("packages")
    (packages / "instageo_plugin").symlink_to(ROOT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(packages))
        patch.setattr(sys, "path", [str(packages), *sys.path])
        with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as made:
            yield made


@pytest.fixture
def job(archive, write_vector, tmp_path, monkeypatch):
    """The parameters of some chips of two scenes, in tasks of four."""
    monkeypatch.setattr(cluster, "BATCH", 4)
    for day in ("2022-06-05", "2022-06-20"):
        archive.add(f"HLS.S30.T33UVP.{day}", "HLSS30_2.0", f"{day}T10:20:31Z", S30, corner=CORNER, nodata=-9999)
    items = tmp_path / "items.json"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": archive.items}))
    places = [(c, r) for c in range(20, 512, 90) for r in range(30, 512, 90)]
    points = [shapely.Point(CORNER[0] + 30 * (c + 0.5), CORNER[1] - 30 * (r + 0.5)) for c, r in places]
    dates = np.array(["2022-06-08", "2022-06-19"] * (len(points) // 2), object)
    labels = write_vector("points.gpkg", points, crs="EPSG:32633", kind=np.arange(len(points)) % 2, seen=dates)
    return {
        "source": "stac", "sensors": ("hls",), "archive": ArchiveChoice(catalog=str(items)), "labels": labels,
        "class_field": "kind", "date_field": "seen", "chip_size": 32,
    }  # fmt: skip


def digest(folder):
    """Every file but the index by its bytes, the index by its rows."""
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".gpkg"
    }
    return files, [repr(chip) for chip in open_dataset(folder).chips]


def test_the_cluster_makes_the_same_dataset(make, job, dask_workers, tmp_path):
    here = make(**job, output=str(tmp_path / "here"))
    there = make(**job, output=str(tmp_path / "there"), scheduler=dask_workers.scheduler_address)
    assert len(there.dataset.chips) == 36
    assert digest(there.folder) == digest(here.folder)
    assert "2 Dask workers make the chips." in there.recorder.lines


def test_a_killed_worker_changes_nothing(make, job, dask_workers, server, tmp_path):
    here = make(**job, output=str(tmp_path / "here"))
    with Client(dask_workers.scheduler_address, set_as_default=False) as client:
        victims = list(client.run(os.getpid).values())[:1]
    killed = []

    def kill_once(path, first):
        if victims and "B8A" in path and first:
            killed.append(victims.pop())
            os.kill(killed[0], signal.SIGKILL)

    server.fault = kill_once
    there = make(**job, output=str(tmp_path / "there"), scheduler=dask_workers.scheduler_address)
    assert len(killed) == 1
    assert digest(there.folder) == digest(here.folder)
    assert not list(there.folder.rglob("*.part"))


def test_a_stopped_run_goes_on_and_ends_the_same(make, job, dask_workers, recorder, tmp_path):
    here = make(**job, output=str(tmp_path / "here"))
    output = str(tmp_path / "there")
    count = len(here.dataset.chips)
    stopping = recorder()
    stopping.progress = lambda share, message="": _stop_at(message, count // 2)
    with pytest.raises(KeyboardInterrupt):
        make(**job, output=output, scheduler=dask_workers.scheduler_address, reporter=stopping)
    there = make(**job, output=output)
    assert any("Going on with a broken run" in line for line in there.recorder.lines)
    assert digest(there.folder) == digest(here.folder)


def _stop_at(message, number):
    if message.startswith(f"{number} of"):
        raise KeyboardInterrupt


def test_a_file_that_cannot_be_read_is_a_named_skip(make, job, dask_workers, server):
    server.fault = lambda path, first: {"status": 404} if "06-20/B11" in path else None
    made = make(**job, scheduler=dask_workers.scheduler_address)
    assert len(made.dataset.chips) == 18
    assert set(made.skipped) == {("imagery could not be read", 1)}


def test_workers_use_the_login_of_their_own_environment_and_none_travels(make, job, dask_workers, server, monkeypatch):
    sent = []
    submit = Client.submit

    def spying(self, *arguments, **options):
        sent.append(pickle.dumps((arguments[1:], options)))
        return submit(self, *arguments, **options)

    monkeypatch.setattr(Client, "submit", spying)
    catalog = f"{server.url}/items.json"
    (server.folder / "items.json").write_text(Path(job["archive"].catalog).read_text())
    chosen = {**job, "archive": ArchiveChoice(catalog=catalog), "scheduler": dask_workers.scheduler_address}
    with Client(dask_workers.scheduler_address, set_as_default=False) as client:
        with pytest.raises(InstaGeoError, match=r"2 problems(.|\n)*no login of its own(.|\n)*INSTAGEO_AUTH_TOKEN"):
            make(**chosen, secrets={"header:X-Key": "hush-here"})
        client.run(exec, "import os; os.environ['INSTAGEO_AUTH_TOKEN'] = 'hush-there'", {})
        try:
            make(**chosen, secrets={"header:X-Key": "hush-here"})
        finally:
            client.run(exec, "import os; del os.environ['INSTAGEO_AUTH_TOKEN']", {})
    by_workers = {headers.get("Authorization") for path, headers in server.seen if path.endswith("B8A.tif")}
    assert by_workers == {"Bearer hush-there"}
    assert len(sent) > 4
    assert not [content for content in sent if b"hush" in content]
    assert "hush" not in str(dask_workers.get_logs())


def test_no_scheduler_is_told_at_once(make, job, monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "_CONNECT_S", 1.0)
    with pytest.raises(
        InstaGeoError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'(.|\n)*dask scheduler"
    ):
        make(**job, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InstaGeoError, match="no Dask scheduler answers at 'nonsense'"):
        make(**job, scheduler="nonsense")
    assert not (tmp_path / "chips").exists()


def test_a_scheduler_without_workers_is_told(make, job, monkeypatch):
    monkeypatch.setattr(cluster, "_WORKERS_S", 0.5)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(InstaGeoError, match=r"has no workers(.|\n)*dask worker"),
    ):
        make(**job, scheduler=empty.scheduler_address)


def test_workers_that_do_not_know_the_package_are_told(make, job, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not (Path(p) / "instageo_plugin").exists()])
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as strange,
        pytest.raises(InstaGeoError, match=r"cannot import this package(.|\n)*PYTHONPATH"),
    ):
        make(**job, scheduler=strange.scheduler_address)


def test_workers_of_another_version_are_listed(make, job, dask_workers, monkeypatch):
    monkeypatch.setattr(cluster, "SOFTWARE", "InstaGeo 99")
    with pytest.raises(InstaGeoError, match=r"2 problems(.|\n)*expected InstaGeo 99"):
        make(**job, scheduler=dask_workers.scheduler_address)
