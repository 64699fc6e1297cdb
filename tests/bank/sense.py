"""Rules that are planted in fewer than three models, because they make no sense in others."""

from __future__ import annotations

FEWEST = 3  # models that a rule is planted in
MAKES_SENSE_FOR = {
    "TD008": "a `transformers.Trainer`, and samples that are dicts",
    "TD010": "a `transformers.Trainer`, and samples that are dicts",
    "TD015": "sequences that are padded, and a model that attends to all of them",
    "TD111": "a label at each position",
    "TD112": "a label at each position, and a causal model",
    "TD213": "a head over the entries of an embedding",
    "TD506": "inputs that are measured, and not ids",
    "TD512": "sequences that are padded",
    "TD705": "an embedding whose table grows",
    "TD717": "classes; vocabularies are wider than the data on purpose",
}
