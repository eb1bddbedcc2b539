import io

import numpy as np
import pytest
from instageo_plugin.core.evaluation.plots import bars_figure, confusion_figure, curves_figure


def drawn(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_confusion_figure_shows_percent_of_each_true_class():
    figure = confusion_figure(np.array([[8, 2], [0, 0]]), ("forest", "<water>"))
    assert texts(figure.axes[0]) == ["80", "20", "0", "0"]
    assert drawn(figure)


def test_many_classes_are_drawn_without_numbers():
    figure = confusion_figure(np.eye(30), [f"class {i}" for i in range(30)])
    assert texts(figure.axes[0]) == []
    assert drawn(figure)


def test_bars_figure_tells_zero_from_undefined():
    figure = bars_figure(("a", "b", "c"), (0.5, 0.0, None), "F1", ("#e69f00",) * 3)
    assert texts(figure.axes[0]) == ["0.50", "0.00", "none"]
    assert drawn(figure)


@pytest.mark.parametrize("rows", [1, 5])
def test_curves_figure_puts_losses_and_scores_in_panels_of_their_own(rows):
    history = [{"epoch": i, "train_loss": 1 / (i + 1), "val_loss": None, "val_miou": 0.1 * i} for i in range(rows)]
    history[-1]["val_loss"] = 0.7
    figure = curves_figure(history)
    assert [[line.get_label() for line in axes.lines] for axes in figure.axes] == [
        ["train_loss", "val_loss"],
        ["val_miou"],
    ]
    assert drawn(figure)
