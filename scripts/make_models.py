"""Builds the graphical-modeler chains that the plugin ships, into `resources/models`.

Run it by QGIS's Python whenever a chain's algorithms or texts change:

    eval "$(scripts/setup --print)"
    QT_QPA_PLATFORM=offscreen "$INSTAGEO_QGIS_PYTHON" scripts/make_models.py

Inputs are copies of the algorithms' own parameters, so that kinds, defaults and help agree. A test compares what is
built here with the files.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

os.environ.setdefault("QT_HASH_SEED", "0")  # else Qt shuffles XML attributes, and every build differs

from qgis.core import (
    QgsApplication,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterField,
)
from qgis.PyQt.QtCore import QPointF, QSizeF

ROOT = Path(__file__).resolve().parents[1]
LABELS_TO_MAP = ROOT / "resources" / "models" / "labels_to_map.model3"

SUMMARY = "From labels and imagery to a map: Create chips, Split chips, Fine-tune, Predict raster."
DESCRIPTION = (
    "From labels and imagery to a map of the whole imagery, in one run: cuts chips where the labels lie, splits them "
    "by blocks of ground into training, validation and test chips, trains a model, and applies it to the imagery. The "
    "map wears the class names and colours of the label layer when its style is categorised by the class field. For "
    "other settings than these, run the four algorithms one by one, or open this chain's file, "
    "resources/models/labels_to_map.model3 in the plugin's folder, in the model designer."
)
EXAMPLES = (
    "A hundred points of land cover and one Sentinel-2 image: backbone 'pixels', chip size 64. Parcels of crops and "
    "three dates of one scene: backbone 'vit_tiny'."
)
TAGS = "labels, map, classification, land cover, training, model, chain"

# Names in the chain are in lower case, as QGIS makes those of a model's outputs so whatever they are called.
INPUTS = {
    "labels": ("createchips", "INPUT"),
    "class_field": ("createchips", "CLASS_FIELD"),
    "imagery": ("createchips", "RASTERS"),
    "chip_size": ("createchips", "CHIP_SIZE"),
    "block_size": ("splitchips", "BLOCK_SIZE"),
    "backbone": ("finetune", "BACKBONE"),
}
NEEDED = ("labels", "class_field", "imagery")

# Algorithm: its parameters, and where their values come from: an input of the chain, or an earlier step's output.
STEPS = {
    "createchips": {"INPUT": "labels", "CLASS_FIELD": "class_field", "RASTERS": "imagery", "CHIP_SIZE": "chip_size"},
    "splitchips": {"INPUT": ("createchips", "OUTPUT"), "BLOCK_SIZE": "block_size"},
    "finetune": {"INPUT": ("splitchips", "OUTPUT"), "BACKBONE": "backbone"},
    "predictraster": {"INPUT": "imagery", "MODEL": ("finetune", "OUTPUT")},
}
OUTPUTS = {
    "Chip dataset": ("createchips", "OUTPUT"),
    "Model": ("finetune", "OUTPUT"),
    "Report": ("finetune", "REPORT"),
    "Map": ("predictraster", "OUTPUT"),
}

COLUMN, ROW, LEFT, TOP = 260, 110, 160, 80


def labels_to_map(chain: QgsProcessingModelAlgorithm) -> QgsProcessingModelAlgorithm:
    """`chain` with the inputs, steps, outputs and help of 'Labels to map'; the provider has to be registered."""
    chain.setName("Labels to map")
    chain.setGroup("Prediction")
    for row, (name, origin) in enumerate(INPUTS.items()):
        _add_input(chain, name, _definition(*origin), QPointF(LEFT, TOP + row * ROW))
    chain.setParameterOrder(list(INPUTS))
    for number, (step, sources) in enumerate(STEPS.items()):
        chain.addChildAlgorithm(_step(step, sources, QPointF(LEFT + (number + 1) * COLUMN, TOP + number * ROW)))
    chain.updateDestinationParameters()
    chain.setHelpContent(_help(chain))
    return chain


def _definition(step: str, parameter: str) -> QgsProcessingParameterDefinition:
    algorithm = QgsApplication.processingRegistry().algorithmById(f"instageo:{step}")
    return algorithm.parameterDefinition(parameter)


def _add_input(
    chain: QgsProcessingModelAlgorithm, name: str, original: QgsProcessingParameterDefinition, position: QPointF
) -> None:
    definition = original.clone()
    definition.setName(name)
    if isinstance(definition, QgsProcessingParameterField):  # its dialog offers the fields of this layer
        parent = definition.parentLayerParameterName()
        definition.setParentLayerParameterName(next(n for n, (_, original) in INPUTS.items() if original == parent))
    if name in NEEDED:
        definition.setFlags(definition.flags() & ~QgsProcessingParameterDefinition.Flag.FlagOptional)
    component = QgsProcessingModelParameter(name)
    component.setPosition(position)
    component.setSize(QSizeF(200, 40))
    chain.addModelParameter(definition, component)


def _step(step: str, sources: dict[str, str | tuple[str, str]], position: QPointF) -> QgsProcessingModelChildAlgorithm:
    child = QgsProcessingModelChildAlgorithm(f"instageo:{step}")
    child.setChildId(step)
    child.setDescription(child.algorithm().displayName())
    child.setPosition(position)
    child.setSize(QSizeF(200, 40))
    for parameter, source in sources.items():
        child.addParameterSources(parameter, [_source(source)])
    outputs = [(label, name) for label, (owner, name) in OUTPUTS.items() if owner == step]
    child.setModelOutputs(
        {
            label: _output(label, step, name, position + QPointF(COLUMN, (row + 1) * ROW))
            for row, (label, name) in enumerate(outputs)
        }
    )
    return child


def _source(source: str | tuple[str, str]) -> QgsProcessingModelChildParameterSource:
    if isinstance(source, str):
        return QgsProcessingModelChildParameterSource.fromModelParameter(source)
    return QgsProcessingModelChildParameterSource.fromChildOutput(*source)


def _output(label: str, step: str, name: str, position: QPointF) -> QgsProcessingModelOutput:
    output = QgsProcessingModelOutput(label, label)
    output.setChildId(step)
    output.setChildOutputName(name)
    output.setPosition(position)
    output.setSize(QSizeF(200, 40))
    return output


def _help(chain: QgsProcessingModelAlgorithm) -> dict[str, str]:
    explained = {definition.name(): definition.help() for definition in chain.parameterDefinitions()}
    return {"ALG_DESC": DESCRIPTION, "SHORT_DESCRIPTION": SUMMARY, "EXAMPLES": EXAMPLES, "TAGS": TAGS, **explained}


def main() -> int:
    """Write every chain; the exit status says whether that worked."""
    application = QgsApplication([], False)
    application.initQgis()
    runpy.run_path(str(ROOT / "core" / "start.py"))
    from instageo_plugin.instageo_qgis.provider import InstaGeoProvider

    provider = InstaGeoProvider()  # the registry alone does not keep its Python side alive
    QgsApplication.processingRegistry().addProvider(provider)
    LABELS_TO_MAP.parent.mkdir(exist_ok=True)
    written = labels_to_map(QgsProcessingModelAlgorithm()).toFile(str(LABELS_TO_MAP))
    application.exitQgis()
    return 0 if written else 1


if __name__ == "__main__":
    sys.exit(main())
