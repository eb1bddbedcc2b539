"""Fine-tune: a chip dataset to a model file."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputNumber

from ...core.contract.backbones import BACKBONES
from ...core.contract.jobs import ADAPTATIONS, HEADS, LOSSES, FinetuneJob
from .. import parameters as p
from ..base import MODELS, InstaGeoAlgorithm
from ..values import Values
from .common import device_parameters, figures, fold

NAMES = ("pixels", "unet", "vit_tiny", *(one.name for one in BACKBONES))


class FineTune(InstaGeoAlgorithm):
    """Trains a backbone on a dataset's training chips, stops by its validation chips."""

    NAME = "finetune"
    TITLE = "Fine-tune"
    GROUP = MODELS
    SUMMARY = "Trains a model on a chip dataset."
    HELP = (
        "With a hundred points, 'pixels' (a random forest on the raw bands, seconds) is often the right answer; 'unet' "
        "and 'vit_tiny' learn shapes and want denser labels.\n"
        "The best weights by validation mIoU are kept in one .safetensors file, with all that prediction needs. A "
        "dataset without a split gets a block split, and the log says so. Next: Predict raster, Evaluate."
    )
    TAGS = ("train", "model", "deep learning", "machine learning", "random forest", "u-net", "segmentation")

    def parameters(self) -> list[p.Definition]:
        return [
            p.folder_input("INPUT", "Chip dataset", "Folder of the dataset, as Create chips made it."),
            p.text(
                "BACKBONE",
                "Backbone",
                FinetuneJob.backbone,
                "'pixels': random forest on raw bands. 'unet': small U-Net (default). 'vit_tiny': small vision "
                "transformer that takes several dates. 'prithvi...' and 'terramind...': foundation models that see "
                "shapes; 'presto...' and 'galileo...': ones that see each pixel's series of dates. All are best with "
                "their published weights.",
                hints=NAMES,
            ),
            p.file_input(
                "WEIGHTS",
                "Published weights",
                "Weights (*.pt *.pth *.ckpt *.safetensors)",
                "File of a foundation model's published weights, for the adaptations 'frozen' and 'full'.",
                optional=True,
            ),
            p.flag(
                "DOWNLOAD",
                "Fetch published weights",
                FinetuneJob.download,
                "Where no file is given: fetch the weights from their publisher, once; they are kept on this machine. "
                "Default off.",
            ),
            fold(),
            *_training(),
            *device_parameters(FinetuneJob.device, FinetuneJob.precision),
            *_outputs(),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        epochs = QgsProcessingOutputNumber("EPOCHS_RUN", p.tr("Epochs run"))
        return [*figures("MIOU", "ACCURACY", "F1"), epochs]

    def job(self, values: Values) -> FinetuneJob:
        return FinetuneJob(
            dataset=values.path("INPUT"),
            output=values.output("OUTPUT"),
            backbone=values.text("BACKBONE"),
            fold=values.integer("FOLD", FinetuneJob.fold),
            weights=values.path("WEIGHTS"),
            download=values.flag("DOWNLOAD"),
            nearest_bands=values.flag("NEAREST_BANDS"),
            adaptation=values.choice("ADAPTATION"),
            head=values.choice("HEAD"),
            lora_rank=values.integer("LORA_RANK"),
            lora_alpha=values.decimal("LORA_ALPHA"),
            lora_dropout=values.decimal("LORA_DROPOUT"),
            adapter=values.output("ADAPTER"),
            epochs=values.integer("EPOCHS"),
            batch_size=values.integer("BATCH_SIZE"),
            learning_rate=values.decimal("LEARNING_RATE"),
            weight_decay=values.decimal("WEIGHT_DECAY"),
            class_weights=values.text("CLASS_WEIGHTS"),
            loss=values.choice("LOSS"),
            augment=values.flag("AUGMENT"),
            patience=values.integer("PATIENCE"),
            seed=values.integer("SEED"),
            device=values.choice("DEVICE"),
            precision=values.choice("PRECISION"),
            resume=values.path("RESUME"),
            report=values.output("REPORT"),
            history=values.output("HISTORY"),
        )


def _training() -> list[p.Definition]:
    return [
        p.choice(
            "ADAPTATION",
            "Adaptation",
            ADAPTATIONS,
            FinetuneJob.adaptation,
            "Which weights are trained: 'scratch': all, from random ones (default). 'frozen': the head alone, on what "
            "the published weights see. 'lora': the head and small matrices beside the published weights. 'full': all, "
            "from the published ones.",
        ),
        p.choice(
            "HEAD",
            "Head",
            HEADS,
            FinetuneJob.head,
            "What turns a foundation model's features into classes. 'auto': its usual one (default). For 'presto...' "
            "and 'galileo...': 'linear', 'mlp', 'forest' or 'catboost'; for the others 'upsampling', 'linear', 'fcn', "
            "'unet', 'upernet' or 'instageo', the head of the InstaGeo framework.",
            advanced=True,
        ),
        p.flag(
            "NEAREST_BANDS",
            "Weights of the nearest band",
            FinetuneJob.nearest_bands,
            "A band that the published weights do not know starts with those of the nearest wavelength, and is named "
            "in the log. Default off: such a band is refused.",
            advanced=True,
        ),
        p.integer(
            "LORA_RANK",
            "LoRA rank",
            FinetuneJob.lora_rank,
            "For 'lora': the smaller side of its matrices. Default 8.",
            minimum=1,
            maximum=1024,
            advanced=True,
        ),
        p.decimal(
            "LORA_ALPHA",
            "LoRA alpha",
            FinetuneJob.lora_alpha,
            "For 'lora': how much its matrices count, divided by the rank. Default 16.",
            minimum=0,
            advanced=True,
        ),
        p.decimal(
            "LORA_DROPOUT",
            "LoRA dropout",
            FinetuneJob.lora_dropout,
            "For 'lora': share of its inputs that is dropped in training. Default 0.",
            minimum=0,
            maximum=0.9,
            advanced=True,
        ),
        p.integer(
            "EPOCHS", "Epochs", FinetuneJob.epochs, "Most passes over the training chips. Default 60.", minimum=1
        ),
        p.integer(
            "BATCH_SIZE",
            "Batch size",
            FinetuneJob.batch_size,
            "Chips a step. 0: automatic (default).",
            minimum=0,
            advanced=True,
        ),
        p.decimal(
            "LEARNING_RATE",
            "Learning rate",
            FinetuneJob.learning_rate,
            "Size of a training step. Default 0.001.",
            minimum=0,
            advanced=True,
        ),
        p.decimal(
            "WEIGHT_DECAY",
            "Weight decay",
            FinetuneJob.weight_decay,
            "Pull of weights towards zero. Default 0.01.",
            minimum=0,
            advanced=True,
        ),
        p.text(
            "CLASS_WEIGHTS",
            "Class weights",
            FinetuneJob.class_weights,
            "'none' (default), 'balanced' (rare classes count more), or a number a class, in order of their values.",
            advanced=True,
        ),
        p.choice(
            "LOSS", "Loss", LOSSES, FinetuneJob.loss, "What training lowers. Default 'cross_entropy'.", advanced=True
        ),
        p.flag(
            "AUGMENT",
            "Augment",
            FinetuneJob.augment,
            "Flips and turns of the training chips. Default on.",
            advanced=True,
        ),
        p.integer(
            "PATIENCE",
            "Patience",
            FinetuneJob.patience,
            "Epochs without a better validation mIoU after which training stops. 0: never. Default 30.",
            minimum=0,
            advanced=True,
        ),
        p.integer("SEED", "Seed", FinetuneJob.seed, "The same number gives the same model. Default 0.", advanced=True),
        p.folder_input(
            "RESUME", "Resume from", "Folder of an unfinished run to go on with.", optional=True, advanced=True
        ),
    ]


def _outputs() -> list[p.Definition]:
    return [
        p.file_output("OUTPUT", "Model", p.MODEL_FILTER, "The model file, with its model card."),
        p.file_output(
            "ADAPTER",
            "Adapter",
            "Adapter (*.safetensors)",
            "For 'lora': a small file of what was trained beside the published weights. The model file has it merged.",
            optional=True,
            advanced=True,
        ),
        p.report("A page with the curves and figures of the training."),
        p.file_output(
            "HISTORY",
            "Training history",
            "JSON (*.json)",
            "Loss and figures of each epoch.",
            optional=True,
            advanced=True,
        ),
    ]
