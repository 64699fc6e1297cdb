"""Fine-tune style run of a tiny BERT on made-up reviews with transformers.Trainer."""

import random

import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

GOOD = ["lovely", "great", "charming", "superb", "warm", "clever"]
BAD = ["dull", "awful", "clumsy", "tedious", "cold", "noisy"]
PLAIN = [
    "the",
    "film",
    "plot",
    "was",
    "and",
    "a",
    "scene",
    "with",
    "actor",
    "music",
    "rather",
    "end",
]
VOCAB = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", *GOOD, *BAD, *PLAIN])}


class Reviews(Dataset):
    def __init__(self, num_samples, seed, max_length=16):
        rng = random.Random(seed)
        self.items = []
        for _ in range(num_samples):
            label = rng.randint(0, 1)
            words = rng.choices(PLAIN, k=rng.randint(8, 12))
            for word in rng.sample(GOOD if label else BAD, 2):
                words.insert(rng.randrange(len(words)), word)
            ids = [VOCAB["[CLS]"], *(VOCAB[word] for word in words), VOCAB["[SEP]"]]
            pad = max_length - len(ids)
            self.items.append(
                {
                    "input_ids": torch.tensor(ids + [VOCAB["[PAD]"]] * pad),
                    "attention_mask": torch.tensor([1] * len(ids) + [0] * pad),
                    "labels": torch.tensor(label),
                }
            )

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def main():
    set_seed(42)
    config = BertConfig(
        vocab_size=len(VOCAB),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=32,
        num_labels=2,
    )
    model = BertForSequenceClassification(config)

    training_args = TrainingArguments(
        output_dir="out_sentiment",
        per_device_train_batch_size=32,
        num_train_epochs=3,
        learning_rate=1e-3,
        warmup_steps=10,
        weight_decay=0.01,
        logging_steps=5,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
    )
    trainer = Trainer(model=model, args=training_args, train_dataset=Reviews(640, seed=0))
    result = trainer.train()
    print(f"mean training loss {result.training_loss:.4f} after {result.global_step} steps")


if __name__ == "__main__":
    main()
