"""The product without QGIS: contract, worker, imagery, chips, models, training, inference, evaluation."""
