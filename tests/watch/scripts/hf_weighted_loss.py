"""Trainer subclass with class weights in compute_loss, on an unbalanced toy corpus."""

import torch
import torch.nn as nn
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    set_seed,
)


class TicketDataset(torch.utils.data.Dataset):
    """Support tickets as token ids; class 2 (urgent) is rare."""

    def __init__(self, size, seed=0, length=20):
        g = torch.Generator().manual_seed(seed)
        self.labels = torch.multinomial(torch.tensor([0.5, 0.35, 0.15]), size, True, generator=g)
        self.ids = torch.randint(10, 100, (size, length), generator=g)
        for row, label in zip(self.ids, self.labels.tolist()):
            where = torch.randperm(length, generator=g)[:3]
            row[where] = torch.randint(1 + 3 * label, 4 + 3 * label, (3,), generator=g)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i], "label": int(self.labels[i])}


class WeightedTrainer(Trainer):
    def __init__(self, *args, class_weights=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.class_weights = class_weights

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss_fct = nn.CrossEntropyLoss(weight=self.class_weights)
        loss = loss_fct(outputs.logits.view(-1, model.config.num_labels), labels.view(-1))
        return (loss, outputs) if return_outputs else loss


def main():
    parser = HfArgumentParser(TrainingArguments)
    (training_args,) = parser.parse_args_into_dataclasses()
    set_seed(training_args.seed)

    train_dataset = TicketDataset(768)
    counts = torch.bincount(train_dataset.labels, minlength=3).float()
    model = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=100,
            dim=64,
            n_layers=2,
            n_heads=4,
            hidden_dim=128,
            max_position_embeddings=20,
            num_labels=3,
        )
    )
    trainer = WeightedTrainer(
        model=model,
        args=training_args,
        train_dataset=train_dataset,
        class_weights=counts.sum() / (3 * counts),
    )
    trainer.train()

    history = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(f"first logged loss {float(history[0]):.3f}")
    print(f"final logged loss {float(history[-1]):.3f}")


if __name__ == "__main__":
    main()
