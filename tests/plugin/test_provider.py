"""The provider as the toolbox shows it, and the names that saved models and scripts hold on to."""

import re
import subprocess
import sys

import pytest
from instageo_plugin.core.contract.launch import STARTER
from instageo_plugin.instageo_qgis.plugin import InstaGeoPlugin
from instageo_plugin.processing_algorithms import catalogue
from qgis.core import QgsApplication, QgsProcessingAlgorithm

GROUPS = {"setup": "Setup", "data": "Data", "models": "Models", "prediction": "Prediction"}
CHAIN = "labelstomap"

PARAMETERS = {
    "setupbackend": ["LOCATION", "COMPUTE", "WHEELS"],
    "checkbackend": ["REPORT"],
    "createchips": [
        "INPUT", "CLASS_FIELD", "CLASS_TABLE", "BACKGROUND", "ALL_TOUCHED", "POINT_RADIUS", "DATE_FIELD", "DATE",
        "DATE_FORMAT", "CATALOG", "COLLECTIONS", "AUTH", "TIMESTEPS", "STEP", "STEP_UNIT", "OFFSET_DAYS", "MONTH_START",
        "TOLERANCE_DAYS", "MIN_TIMESTEPS", "SELECTION", "MAX_CLOUD", "MASK", "DAYTIME", "ORBIT", "SCHEDULER",
        "LABEL_RASTERS", "LABEL_VALUES", "AREA", "EXTENT", "TASK", "SOURCE", "RASTERS", "MASK_RASTERS", "RASTER_TABLE",
        "SCALE", "OFFSET", "SENSOR", "BANDS", "MAX_CHIP_CLOUD", "MASK_STRATEGY", "CHIP_SIZE", "STRIDE", "PLACEMENT",
        "EDGE", "MIN_LABELS", "MIN_VALID", "CRS", "RESOLUTION", "RESAMPLING", "OUTPUT", "REPORT",
    ],
    "searchimagery": ["AREA", "EXTENT", "START", "END", "SENSOR", "CATALOG", "MAX_CLOUD", "AUTH", "OUTPUT"],
    "mergechips": ["INPUTS", "OUTPUT"],
    "importchips": ["INPUT", "FORMAT", "OUTPUT"],
    "exportchips": ["INPUT", "FORMAT", "OUTPUT"],
    "cleanchips": ["INPUT", "MIN_VALID", "MIN_LABELS", "MAX_CHIP_CLOUD"],
    "chipstatistics": ["INPUT", "SPLIT", "REPORT"],
    "splitchips": ["INPUT", "STRATEGY", "BLOCK_SIZE", "BUFFER", "GROUP_FIELD", "VAL", "TEST", "FOLDS", "SEED"],
    "finetune": [
        "INPUT", "FOLD", "BACKBONE", "WEIGHTS", "ADAPTATION", "HEAD", "EPOCHS", "BATCH_SIZE", "LEARNING_RATE",
        "WEIGHT_DECAY", "CLASS_WEIGHTS", "LOSS", "AUGMENT", "PATIENCE", "SEED", "DEVICE", "PRECISION", "RESUME",
        "OUTPUT", "ADAPTER", "REPORT", "HISTORY",
    ],
    "evaluate": [
        "MODEL", "INPUT", "SPLIT", "FOLD", "PREDICTION", "REFERENCE", "REFERENCE_VECTOR", "CLASS_FIELD", "REPORT",
        "METRICS", "CHIP_METRICS",
    ],
    "modelinfo": ["MODEL", "OUTPUT_HTML"],
    "importmodel": ["INPUT", "BACKBONE", "OUTPUT"],
    "exportmodel": ["MODEL", "FORMAT", "OUTPUT"],
    "predictraster": [
        "INPUT", "DATES", "MODEL", "BANDS", "SCALE", "OFFSET", "AREA", "OVERLAP", "BATCH_SIZE", "DEVICE", "PRECISION",
        "OUTPUT", "PROBABILITIES", "CONFIDENCE", "STYLE", "CLASS_AREAS",
    ],
}  # fmt: skip
OUTPUTS = {
    "createchips": ["OUTPUT", "INDEX", "CHIP_COUNT", "SKIPPED_COUNT", "REPORT"],
    "cleanchips": ["OUTPUT"],
    "splitchips": ["OUTPUT"],
    "finetune": ["OUTPUT", "REPORT", "HISTORY", "MIOU", "ACCURACY", "F1", "EPOCHS_RUN"],
    "evaluate": ["MIOU", "ACCURACY", "F1", "KAPPA", "AUC", "REPORT", "METRICS", "CHIP_METRICS"],
    "predictraster": [
        "OUTPUT", "PROBABILITIES", "CONFIDENCE", "STYLE", "CLASS_AREAS", "SECONDS", "PIXELS_PER_SECOND",
    ],
}  # fmt: skip
DEFAULTS = {
    "createchips": {
        "ALL_TOUCHED": False, "POINT_RADIUS": 0, "TASK": "segmentation", "SOURCE": "rasters", "SCALE": 1, "OFFSET": 0,
        "MAX_CHIP_CLOUD": 100, "MASK_STRATEGY": "each", "CHIP_SIZE": 256, "PLACEMENT": "grid", "EDGE": "shift",
        "MIN_LABELS": 1, "MIN_VALID": 0, "RESAMPLING": "nearest", "TIMESTEPS": 1, "STEP": 30, "STEP_UNIT": "days",
        "OFFSET_DAYS": 0, "MONTH_START": False, "TOLERANCE_DAYS": 5, "SELECTION": "cloud", "MAX_CLOUD": 10,
        "DAYTIME": False, "ORBIT": "any",
    },
    "splitchips": {"VAL": 20, "TEST": 20, "FOLDS": 0},
    "finetune": {"BATCH_SIZE": 0, "DEVICE": "auto", "PRECISION": "auto"},
}  # fmt: skip
CHOICES = {
    ("createchips", "PLACEMENT"): {"grid", "centred", "dense"},
    ("createchips", "EDGE"): {"shift", "skip"},
    ("createchips", "MASK_STRATEGY"): {"each", "any"},
    ("createchips", "SOURCE"): {"rasters", "stac"},
    ("createchips", "SENSOR"): {"hls", "sentinel2", "sentinel1", "landsat", "dem", "weather", "custom"},
    ("createchips", "STEP_UNIT"): {"days", "month", "dekad"},
    ("createchips", "SELECTION"): {"cloud", "nearest", "clearest", "median"},
    ("createchips", "MASK"): {"cloud", "adjacent", "shadow", "cirrus", "snow", "water"},
    ("createchips", "ORBIT"): {"any", "ascending", "descending"},
    ("importchips", "FORMAT"): {"instageo", "pairs"},
    ("exportchips", "FORMAT"): {"instageo", "pairs"},
    ("finetune", "ADAPTATION"): {"frozen", "lora", "full", "scratch"},
    ("finetune", "DEVICE"): {"auto", "cpu", "cuda", "mps"},
    ("finetune", "PRECISION"): {"auto", "fp32", "bf16"},
    ("predictraster", "DEVICE"): {"auto", "cpu", "cuda", "mps"},
}
LISTED = sorted(algorithm.name() for algorithm in catalogue.algorithms())
ALL = [*LISTED, CHAIN]


@pytest.fixture(scope="module")
def provider():
    plugin = InstaGeoPlugin(None)
    plugin.initProcessing()
    yield QgsApplication.processingRegistry().providerById("instageo")
    plugin.unload()


@pytest.fixture
def algorithm(provider, request):
    return provider.algorithm(request.param)


every_algorithm = pytest.mark.parametrize("algorithm", ALL, indirect=True)


def test_the_provider_is_recognisable(provider):
    assert provider.id() == "instageo"
    assert provider.name() == "InstaGeo"
    assert not provider.icon().isNull()
    assert not provider.icon().pixmap(24, 24).isNull()
    assert provider.svgIconPath().endswith(".svg")
    assert provider.versionInfo() in provider.longName()


def test_it_has_the_algorithms_of_the_catalogue_and_the_chain(provider):
    assert sorted(a.name() for a in provider.algorithms()) == sorted(ALL)
    assert set(PARAMETERS) <= set(LISTED)


def test_its_groups_are_the_steps_of_the_work(provider):
    groups = {a.groupId(): a.group() for a in provider.algorithms()}
    assert groups.items() <= GROUPS.items()


@every_algorithm
def test_ids_are_plain_and_lower_case(algorithm):
    assert re.fullmatch("[a-z][a-z0-9]*", algorithm.name())
    assert algorithm.id() == f"instageo:{algorithm.name()}"


@every_algorithm
def test_an_algorithm_introduces_itself(algorithm):
    assert algorithm.displayName()
    assert algorithm.shortDescription().endswith(".")
    assert algorithm.shortDescription().split(":")[0] in algorithm.shortHelpString()
    assert algorithm.helpUrl().startswith("https://")
    assert not algorithm.icon().pixmap(24, 24).isNull()
    assert algorithm.tags()


@every_algorithm
def test_every_parameter_has_a_label_and_help(algorithm):
    assert algorithm.parameterDefinitions()
    for definition in algorithm.parameterDefinitions():
        assert definition.description(), definition.name()
        assert definition.help().rstrip().endswith((".", ")")), definition.name()


@every_algorithm
def test_every_output_has_a_label(algorithm):
    assert [output.name() for output in algorithm.outputDefinitions() if not output.description()] == []


@every_algorithm
def test_a_copy_is_the_same_algorithm(algorithm):
    copy = algorithm.create()
    assert copy.id() == algorithm.id()
    assert [d.toVariantMap() for d in copy.parameterDefinitions()] == [
        d.toVariantMap() for d in algorithm.parameterDefinitions()
    ]


@every_algorithm
def test_it_runs_in_the_background(algorithm):
    assert not algorithm.flags() & QgsProcessingAlgorithm.Flag.FlagNoThreading


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameters_keep_their_public_names(provider, name):
    names = [definition.name() for definition in provider.algorithm(name).parameterDefinitions()]
    assert set(PARAMETERS[name]) <= set(names)
    assert [n for n in names if n != n.upper()] == []
    assert ("JOB" in names) == (name != "setupbackend")


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_outputs_keep_their_public_names(provider, name):
    assert set(OUTPUTS[name]) <= {output.name() for output in provider.algorithm(name).outputDefinitions()}


@pytest.mark.parametrize(
    ("name", "parameter", "expected"),
    [(name, parameter, value) for name, values in DEFAULTS.items() for parameter, value in values.items()],
)
def test_defaults_are_the_published_ones(provider, name, parameter, expected):
    assert provider.algorithm(name).parameterDefinition(parameter).defaultValue() == expected


@pytest.mark.parametrize(("name", "parameter"), sorted(CHOICES))
def test_closed_choices_are_words(provider, name, parameter):
    definition = provider.algorithm(name).parameterDefinition(parameter)
    assert definition.usesStaticStrings()
    assert set(definition.options()) == CHOICES[name, parameter]


@every_algorithm
def test_every_file_output_besides_the_main_one_is_optional(algorithm):
    if algorithm.name() == CHAIN:  # a chain keeps its steps' main outputs
        return
    required = [d.name() for d in algorithm.destinationParameterDefinitions() if not d.flags() & d.Flag.FlagOptional]
    assert set(required) <= {"OUTPUT", "OUTPUT_HTML"}


def test_importing_the_package_imports_no_algorithm():
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]);"
        "import instageo_plugin, instageo_plugin.instageo_qgis.plugin, instageo_plugin.processing_algorithms.catalogue;"
        "instageo_plugin.classFactory(None);"
        "print([n for n in sys.modules if n.startswith('instageo_plugin.processing_algorithms.')])"
    )
    assert _output_of(code) == "['instageo_plugin.processing_algorithms.catalogue']"


def test_loading_all_algorithms_imports_nothing_heavy():
    code = (
        "import qgis.core, sys; sys.modules.pop('numpy', None); before = set(sys.modules);"
        "import runpy; runpy.run_path(sys.argv[1]);"
        "import instageo_plugin.instageo_qgis.provider; from instageo_plugin.processing_algorithms import catalogue;"
        "catalogue.algorithms();"
        "found = {n.partition('.')[0] for n in set(sys.modules) - before};"
        "print(sorted(found & {'numpy', 'osgeo', 'torch', 'rasterio', 'pandas', 'sklearn', 'xml', 'urllib', 'ssl'}))"
    )
    assert _output_of(code) == "[]"


def _output_of(code):
    command = [sys.executable, "-c", code, str(STARTER)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1]
