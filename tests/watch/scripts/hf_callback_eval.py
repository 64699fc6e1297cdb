"""Character-level GPT-2 with Trainer: evaluation each epoch, a callback, a data collator."""

import math
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEATHER = ["sunny", "cloudy", "windy", "rainy"]
CHARS = sorted(set("".join(DAYS + WEATHER) + " .,"))
STOI = {c: i + 1 for i, c in enumerate(CHARS)}  # 0 pads


class Diary(Dataset):
    """Sentences such as 'monday was rainy, tuesday will be sunny.'"""

    def __init__(self, start, size):
        self.lines = []
        for n in range(start, start + size):
            day = (n * 5 + n // 11) % 7
            now, then = WEATHER[(n * 3 + n // 5) % 4], WEATHER[(n * 7 + n // 3) % 4]
            self.lines.append(f"{DAYS[day]} {now}, {DAYS[(day + 1) % 7]} {then}.")

    def __len__(self):
        return len(self.lines)

    def __getitem__(self, i):
        return {"input_ids": [STOI[c] for c in self.lines[i]]}


@dataclass
class PadCollator:
    pad_id: int = 0

    def __call__(self, features):
        longest = max(len(f["input_ids"]) for f in features)
        ids = torch.full((len(features), longest), self.pad_id)
        mask = torch.zeros(len(features), longest, dtype=torch.long)
        for row, f in enumerate(features):
            n = len(f["input_ids"])
            ids[row, :n] = torch.tensor(f["input_ids"])
            mask[row, :n] = 1
        labels = ids.masked_fill(mask == 0, -100)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


class PerplexityCallback(TrainerCallback):
    def __init__(self):
        self.history = []

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        ppl = math.exp(metrics["eval_loss"])
        self.history.append(ppl)
        print(f"epoch {state.epoch:.0f}: perplexity {ppl:.3f}")


if __name__ == "__main__":
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(CHARS) + 1,
        n_positions=64,
        n_embd=64,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
    )
    perplexity = PerplexityCallback()
    trainer = Trainer(
        model=GPT2LMHeadModel(config),
        args=TrainingArguments(
            output_dir="out_diary",
            per_device_train_batch_size=16,
            per_device_eval_batch_size=32,
            gradient_accumulation_steps=2,
            num_train_epochs=3,
            learning_rate=3e-3,
            lr_scheduler_type="cosine",
            eval_strategy="epoch",
            logging_strategy="epoch",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=Diary(0, 448),
        eval_dataset=Diary(448, 64),
        data_collator=PadCollator(),
        callbacks=[perplexity],
    )
    trainer.train()
    assert perplexity.history[-1] < perplexity.history[0]
