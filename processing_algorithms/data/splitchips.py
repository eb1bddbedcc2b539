"""Split chips: which chips train, which validate, which test."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputFolder, QgsProcessingOutputNumber

from ...core.contract.jobs import SPLIT_STRATEGIES, SplitChipsJob
from .. import parameters as p
from ..base import DATA, InstaGeoAlgorithm
from ..values import Values


class SplitChips(InstaGeoAlgorithm):
    """Writes the columns `split` and `fold` of a dataset's index."""

    NAME = "splitchips"
    TITLE = "Split chips"
    GROUP = DATA
    SUMMARY = "Assigns each chip to training, validation or test, or to folds."
    HELP = (
        "Figures on test chips are honest only when those chips are no neighbours of the training chips: 'block' keeps "
        "whole blocks of ground together. Chips that share labelled ground always stay together.\n"
        "The dataset itself is changed: the columns 'split' and 'fold' of its index. Next: Fine-tune."
    )
    TAGS = ("chips", "split", "cross-validation", "spatial blocks", "folds")

    def parameters(self) -> list[p.Definition]:
        return [
            p.folder_input("INPUT", "Chip dataset", "Folder of the dataset, as Create chips made it."),
            p.choice(
                "STRATEGY",
                "Strategy",
                SPLIT_STRATEGIES,
                SplitChipsJob.strategy,
                "'block': whole blocks of ground (default). 'random': chip by chip. 'stratified': chip by chip, with "
                "equal shares of each class. 'group': whole groups, such as regions or farms. 'time': whole years, the "
                "newest for testing.",
            ),
            p.decimal(
                "BLOCK_SIZE",
                "Block size",
                SplitChipsJob.block_size,
                "Side of a block in metres, for 'block'. Default 1000.",
                minimum=0,
            ),
            p.decimal(
                "BUFFER",
                "Buffer",
                SplitChipsJob.buffer,
                "Chips nearer than this, in metres, to chips of another part are left out of all. Default 0.",
                minimum=0,
                advanced=True,
            ),
            p.text(
                "GROUP_FIELD",
                "Group field",
                SplitChipsJob.group_field,
                "Field of the chips layer that names the group, for 'group'; you may add one in QGIS. Default 'group'.",
                advanced=True,
            ),
            p.decimal("VAL", "Validation share", SplitChipsJob.val, "Percent. Default 20.", minimum=0, maximum=100),
            p.decimal("TEST", "Test share", SplitChipsJob.test, "Percent. Default 20.", minimum=0, maximum=100),
            p.integer(
                "FOLDS",
                "Folds",
                SplitChipsJob.folds,
                "Number of folds for cross-validation, instead of shares. 0: none (default).",
                minimum=0,
                maximum=100,
                advanced=True,
            ),
            p.integer(
                "SEED",
                "Seed",
                SplitChipsJob.seed,
                "The same number gives the same split. Default 0.",
                advanced=True,
            ),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [
            QgsProcessingOutputFolder("OUTPUT", p.tr("Chip dataset")),
            QgsProcessingOutputNumber("TRAIN_COUNT", p.tr("Number of training chips")),
            QgsProcessingOutputNumber("VAL_COUNT", p.tr("Number of validation chips")),
            QgsProcessingOutputNumber("TEST_COUNT", p.tr("Number of test chips")),
        ]

    def job(self, values: Values) -> SplitChipsJob:
        return SplitChipsJob(
            dataset=values.path("INPUT"),
            strategy=values.choice("STRATEGY"),
            block_size=values.decimal("BLOCK_SIZE"),
            buffer=values.decimal("BUFFER"),
            group_field=values.text("GROUP_FIELD"),
            val=values.decimal("VAL"),
            test=values.decimal("TEST"),
            folds=values.integer("FOLDS"),
            seed=values.integer("SEED"),
        )
