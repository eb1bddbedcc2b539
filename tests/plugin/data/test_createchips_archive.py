"""Create chips from an archive, as a user runs it: dated labels, a catalogue, a login."""

import base64
import http.server
import json
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsAuthMethodConfig,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QDate

WEST, NORTH, PIXEL_M, SIZE = 500_000, 5_700_000, 10, 64
BANDS = {"B02": 300, "B03": 500, "SCL": 4}
DAYS = {"2021-05-08": 0, "2021-06-08": 1000}
USER, PASSWORD, TOKEN = "maria", "p4ss w:rd", "t0ken-of-maria"


def _ring():
    crs = QgsCoordinateReferenceSystem("EPSG:32633")
    degrees = QgsCoordinateTransform(crs, QgsCoordinateReferenceSystem("EPSG:4326"), QgsCoordinateTransformContext())
    far = SIZE * PIXEL_M
    corners = [(0, 0), (far, 0), (far, far), (0, far), (0, 0)]
    points = [degrees.transform(QgsPointXY(WEST + dx, NORTH - dy)) for dx, dy in corners]
    return [[point.x(), point.y()] for point in points]


def _write_band(path, value):
    kind = gdal.GDT_Byte if value < 20 else gdal.GDT_UInt16
    raster = gdal.GetDriverByName("GTiff").Create(str(path), SIZE, SIZE, 1, kind, ["TILED=YES"])
    raster.SetProjection(QgsCoordinateReferenceSystem("EPSG:32633").toWkt())
    raster.SetGeoTransform((WEST, PIXEL_M, 0, NORTH, 0, -PIXEL_M))
    raster.GetRasterBand(1).WriteArray(np.full((SIZE, SIZE), value, np.uint8 if value < 20 else np.uint16))
    raster.GetRasterBand(1).SetNoDataValue(0)
    raster.FlushCache()


def _write_archive(folder, root):
    """Two Sentinel-2 scenes of the same place, a month apart; the later one is 1000 brighter. Returns the item file."""
    items = []
    for day, brighter in DAYS.items():
        for band, value in BANDS.items():
            _write_band(folder / f"{day}_{band}.tif", value if band == "SCL" else value + brighter)
        items.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": f"S2A_T33UVS_{day}",
                "collection": "sentinel-2-l2a",
                "geometry": {"type": "Polygon", "coordinates": [_ring()]},
                "properties": {
                    "datetime": f"{day}T10:20:30Z",
                    "eo:cloud_cover": 5,
                    "s2:processing_baseline": "03.00",
                },
                "assets": {band: {"href": f"{root}/{day}_{band}.tif"} for band in BANDS},
            }
        )
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


@pytest.fixture
def archive(tmp_path, qgis_app):
    """The path of an item file whose scenes lie beside it."""
    folder = tmp_path / "archive"
    folder.mkdir()
    return str(_write_archive(folder, folder))


@pytest.fixture
def visits(qgis_app):
    """Labels observed in June, one of them in a year without imagery, one without a date."""
    layer = QgsVectorLayer("Point?crs=EPSG:32633&field=cover:string&field=seen:date", "visits", "memory")
    rows = [(4, "crop", QDate(2021, 6, 8)), (20, "water", QDate(2021, 6, 9)), (40, "crop", QDate(2019, 6, 8))]
    for column, cover, seen in [*rows, (50, "crop", None)]:
        feature = QgsFeature(layer.fields())
        feature.setAttributes([cover, seen])
        point = QgsPointXY(WEST + (column + 0.5) * PIXEL_M, NORTH - 4.5 * PIXEL_M)
        feature.setGeometry(QgsGeometry.fromPointXY(point))
        layer.dataProvider().addFeature(feature)
    layer.updateExtents()
    return layer


@pytest.fixture
def given(visits, archive, out):
    return {
        "INPUT": visits,
        "CLASS_FIELD": "cover",
        "DATE_FIELD": "seen",
        "SOURCE": "stac",
        "SENSOR": ["sentinel2"],
        "BANDS": "B02,B03",
        "CATALOG": archive,
        "CHIP_SIZE": 16,
        "OUTPUT": str(out / "chips"),
    }


@pytest.fixture
def index_of():
    def layer(outputs, name="chips"):
        return QgsVectorLayer(f"{outputs['INDEX']}|layername={name}", name, "ogr")

    return layer


def _pixels(outputs, row):
    images = json.loads(row["images"])
    return gdal.Open(str(Path(outputs["OUTPUT"]) / images["sentinel2"])).ReadAsArray()


def test_dated_labels_become_chips_of_the_scenes_around_their_dates(run, given, index_of):
    outputs = run("createchips", **given, TIMESTEPS=2, STEP=31)
    assert outputs["CHIP_COUNT"] == 2
    assert outputs["SKIPPED_COUNT"] == 2
    reasons = sorted(feature["reason"] for feature in index_of(outputs, "skipped").getFeatures())
    assert "no scene in the window" in reasons[1]
    assert "date" in reasons[0]
    chip = next(index_of(outputs).getFeatures())
    pixels = _pixels(outputs, chip)
    assert [band.max() for band in pixels] == [300, 500, 1300, 1500]  # oldest first


def test_one_date_for_all_labels_in_another_form(run, given, index_of):
    outputs = run("createchips", **{**given, "DATE_FIELD": None}, DATE="08.05.21", DATE_FORMAT="%d.%m.%y")
    assert outputs["CHIP_COUNT"] == 4
    assert _pixels(outputs, next(index_of(outputs).getFeatures())).max() == 500


def test_the_dialog_lists_all_that_is_missing_for_an_archive(refusal, given):
    message = refusal("createchips", **{**given, "SENSOR": ["custom"], "DATE_FIELD": None, "CATALOG": "nowhere"})
    assert "SENSOR is 'custom'; expected one of hls" in message
    assert "DATE_FIELD or DATE" in message


class _Guard(http.server.SimpleHTTPRequestHandler):
    """Serves files to who knows the password or the token."""

    welcome = ("Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), f"Bearer {TOKEN}")

    def do_GET(self):
        if self.headers.get("Authorization") in self.welcome:
            super().do_GET()
        else:
            self.send_error(401)

    def log_message(self, *args):
        pass


@pytest.fixture
def guarded(tmp_path, qgis_app):
    """The address of an item file on a server that wants a login for it and for its scenes."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Guard, directory=str(folder)))
    root = f"http://127.0.0.1:{server.server_address[1]}"
    _write_archive(folder, root)
    threading.Thread(target=server.serve_forever, daemon=True, name="guard").start()
    yield f"{root}/items.json"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def store(qgis_app):
    """QGIS's authentication store, open."""
    manager = QgsApplication.authManager()
    manager.ensureInitialized()
    assert manager.setMasterPassword("master of tests", True)
    return manager


@pytest.fixture
def login(store):
    """Stores a login and gives its id."""
    made = []

    def make(method, **secrets):
        config = QgsAuthMethodConfig(method)
        config.setName("archive")
        for name, value in secrets.items():
            config.setConfig(name, value)
        assert store.storeAuthenticationConfig(config)[0]
        made.append(config.id())
        return config.id()

    yield make
    for identifier in made:
        store.removeAuthenticationConfig(identifier)


@pytest.fixture
def nowhere(out, feedback):
    """Fails if a secret is in any file of the output or in what the user was told."""

    def check(*secrets):
        written = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
        told = "\n".join(text for _, text in feedback.lines)
        for secret in secrets:
            assert secret not in told
            assert not [content for content in written if secret.encode() in content]

    return check


@pytest.mark.parametrize(
    ("method", "secrets"),
    [("Basic", {"username": USER, "password": PASSWORD}), ("APIHeader", {"Authorization": f"Bearer {TOKEN}"})],
)
def test_a_login_opens_the_archive_and_is_written_nowhere(run, given, guarded, login, nowhere, out, method, secrets):
    outputs = run("createchips", **{**given, "CATALOG": guarded}, AUTH=login(method, **secrets))
    assert outputs["CHIP_COUNT"] == 2
    assert len(list(out.rglob("*"))) > 4
    nowhere(PASSWORD, TOKEN, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


def test_without_a_login_the_message_says_where_to_give_one(refusal, given, guarded, out):
    message = refusal("createchips", **{**given, "CATALOG": guarded})
    assert "wants a login" in message
    assert "AUTH" in message
    assert list(out.iterdir()) == []


def test_a_job_file_has_no_secrets_and_says_so(run, given, guarded, login, nowhere, feedback, out):
    login_id = login("Basic", username=USER, password=PASSWORD)
    run("createchips", **{**given, "CATALOG": guarded}, AUTH=login_id, JOB=str(out / "job.json"))
    assert (out / "job.json").exists()
    nowhere(PASSWORD, USER)
    assert "INSTAGEO_AUTH_USERNAME" in feedback.said("warning")


def test_a_login_that_is_gone_is_named(refusal, given, store):
    message = refusal("createchips", **given, AUTH="abcdef1")
    assert "no authentication configuration 'abcdef1'" in message


def test_a_kind_of_login_that_is_no_header_is_refused(refusal, given, login):
    message = refusal("createchips", **given, AUTH=login("PKI-PKCS#12", bundlepath="/nowhere.p12"))
    assert "PKI-PKCS#12" in message
    assert "API Header" in message


def test_search_takes_the_same_login(run, guarded, login, out):
    given = {"EXTENT": "14,16,51,52 [EPSG:4326]", "START": "2021-05-01", "END": "2021-05-31", "CATALOG": guarded}
    login_id = login("Basic", username=USER, password=PASSWORD)
    outputs = run("searchimagery", **given, AUTH=login_id, OUTPUT=str(out / "scenes.gpkg"))
    assert outputs["COUNT"] == 1
