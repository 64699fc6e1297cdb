"""The healthy training scripts, how each is run, and how its own output shows that it learns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"
NUMBER = r"(-?\d+\.?\d*(?:e-?\d+)?|nan|inf)"


@dataclass(frozen=True, slots=True)
class Script:
    """A script under `scripts/`.

    Attributes:
        name: of the file without its ending; of the module, with dots, where it is run by `-m`.
        style: what kind of program it is.
        reads: what stands before the number that shows how well it learns, as a regular expression.
        at_most: the last such number is at most this; where it rises, at least.
        rises: whether the number grows as the script learns.
        arguments: the script's own.
        is_module: run with `python -m`.
        is_quick: belongs to the short test run.
        needs: packages other than torch and numpy.
    """

    name: str
    style: str
    reads: str
    at_most: float
    rises: bool = False
    arguments: tuple[str, ...] = ()
    is_module: bool = False
    is_quick: bool = False
    needs: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Path of the script's file, relative to `scripts/`."""
        return f"{self.name.replace('.', '/')}.py"

    def numbers(self, printed: str) -> list[float]:
        """Return the numbers that the script printed, as it went on."""
        return [float(number) for number in re.findall(self.reads + NUMBER, printed)]

    def has_learned(self, printed: str) -> bool:
        """Tell from what it printed whether the script learned; NaN is not learning."""
        numbers = self.numbers(printed)
        if len(numbers) < 2:
            return False
        if self.rises:
            return numbers[-1] >= self.at_most and numbers[-1] > numbers[0]
        is_sane = numbers[-1] >= 0 or self.at_most < 0  # what is bounded by zero stays above it
        return is_sane and numbers[-1] <= self.at_most and numbers[-1] < numbers[0]


HF_ARGUMENTS = (
    *("--output_dir", "out", "--save_strategy", "no", "--report_to", "none", "--use_cpu"),
    *("--num_train_epochs", "3", "--per_device_train_batch_size", "32"),
    *("--learning_rate", "2e-3", "--logging_steps", "6"),
)

ALL = (
    Script("spirals", "plain loop at module level", "train loss ", 0.05),
    Script(
        "shapes_cnn",
        "train() and test() functions, argparse, augmentation, StepLR",
        "Average loss: ",
        0.3,
        arguments=("--epochs", "3", "--lr", "0.05"),
    ),
    Script("tabular_trainer", "a Trainer class of the user's, early stopping", "valid=", 0.3),
    Script("hf_sentiment", "transformers.Trainer", "'loss': '", 0.5, needs=("transformers",)),
    Script(
        "hf_weighted_loss",
        "Trainer subclass with compute_loss, HfArgumentParser",
        "logged loss ",
        0.3,
        arguments=HF_ARGUMENTS,
        needs=("transformers",),
    ),
    Script(
        "hf_callback_eval",
        "Trainer with callback, evaluation, collator, accumulation",
        "perplexity ",
        2.6,
        needs=("transformers",),
    ),
    Script(
        "accelerate_tagger",
        "Accelerator.prepare and accumulate",
        r"step \d+ loss ",
        0.5,
        needs=("accelerate",),
    ),
    Script(
        "lightning_strokes",
        "LightningModule with validation, DataModule, checkpoint callback",
        "val_loss ",
        0.1,
        needs=("lightning",),
    ),
    Script(
        "lightning_gan",
        "LightningModule with manual optimisation",
        "from the circle ",
        0.25,
        needs=("lightning",),
    ),
    Script("compile_mlp", "torch.compile", r"iter \d+: loss ", 0.001),
    Script("lbfgs_waves", "LBFGS with closure, float64", r"STEP +\d+ loss ", 0.01),
    Script(
        "gan_rings",
        "GAN with two optimizers",
        "ring error: ",
        0.45,
        arguments=("--batch-size", "96"),
    ),
    Script("wgan_gp", "WGAN with gradient penalty", "distance ", 0.2),
    Script("wgan_clip", "WGAN with weight clipping", "distance ", 0.3),
    Script("char_gpt", "char-level GPT, settings overridden, micro-steps", "val loss ", 1.0),
    Script("amp_scaler", "autocast, GradScaler, accumulation", r"Epoch \d+: loss=", 0.1),
    Script("stream_iterable", "IterableDataset without end", "smoothed loss ", 0.05),
    Script("workers_fork", "DataLoader with persistent forked workers", "mse ", 0.06),
    Script("workers_spawn", "DataLoader with spawned workers", "loss ", 0.4),
    Script("resume", "checkpoint saved and resumed", r"Epoch \d+: loss ", 0.1, is_quick=True),
    Script("reinforce", "REINFORCE, no DataLoader", "Average: ", 60.0, rises=True),
    Script("dqn", "Q-learning, replay buffer, target network", "return=", 0.6, rises=True),
    Script("ppo", "PPO on vectorised environments", "mean_reward=", -0.35, rises=True),
    Script("vae", "variational autoencoder", "Test set loss: ", 75.0),
    Script("diffusion", "denoising diffusion, tqdm, averaged weights", "mean loss ", 0.15),
    Script("simclr", "contrastive learning, linear probe", "contrastive loss ", 2.9),
    Script("mean_teacher", "teacher that averages the student", "supervised ", 0.25),
    Script("distill", "distillation from a frozen teacher", r"student epoch \d+: loss ", 1.5),
    Script("lora_llama", "low-rank adapters on Llama", "loss=", 1.45, needs=("transformers",)),
    Script("seq2seq", "two root models, teacher forcing", r"%\) ", 0.3),
    Script(
        "word_rnn",
        "truncated backpropagation through time, updates by hand, tied weights",
        "valid loss +",
        0.9,
        is_quick=True,
    ),
    Script("unet", "U-Net segmentation, logging", r"Epoch \d+ loss ", 0.25),
    Script("cosine_regression", "regression, warm-up and cosine schedule", "Loss: ", 0.02),
    Script("onecycle", "OneCycleLR per batch, nested progress bars", "train_loss: ", 0.15),
    Script("plateau", "ReduceLROnPlateau, early stopping, best weights", "train_loss: ", 0.2),
    Script("multitask", "two heads, learned task weights", "train age [0-9.]+ kind ", 0.02),
    Script("param_groups", "parameter groups with own rates", r"finetune epoch \d: loss=", 0.45),
    Script("unfreeze", "unfreezing schedule", r"trainable +\d+ loss ", 0.05),
    Script("remat_transformer", "gradient checkpointing", "train loss ", 1.0),
    Script("swa", "stochastic weight averaging", r"epoch \d+ loss ", 0.2),
    Script("custom_function", "custom autograd.Function, clamped weights", r"\d: loss ", 0.06),
    Script("lion_optimizer", "an optimizer of the user's", r"epoch \d loss ", 0.15),
    Script("sgd_by_hand", "SGD without torch.optim", "loss = ", 0.05),
    Script("functional_sgd", "torch.func: functional_call, grad, vmap", "adaptation ", 0.35),
    Script("skipgram", "sparse embeddings, SparseAdam", "Loss: ", 0.8),
    Script("logging_interrupt", "logging, optional import, KeyboardInterrupt", r"\| loss ", 0.05),
    Script("train_loader_eval", "evaluates on its train loader", "set loss ", 0.9),
    Script("pool_features", "multiprocessing pool of spawned helpers", r"epoch \d+ loss ", 0.015),
    Script("kfold", "k-fold cross-validation", "(?:first|last) loss ", 0.1),
    Script("curriculum", "curriculum by sequence length, packed sequences", "loss ", 0.1),
    Script("speech_ctc", "dataset in a second module, CTC", "CTC loss ", 0.6),
    Script(
        "ranker.train",
        "module of a package",
        "bpr loss ",
        0.2,
        arguments=("--epochs", "8"),
        is_module=True,
        is_quick=True,
    ),
    Script("gcn", "full-batch graph network", "loss_train: ", 0.05),
    Script("pinn_heat", "physics-informed network, derivatives of the output", r"\d loss ", 1.0),
    Script("flow_density", "normalising flow with negative loss", "nll ", -0.4),
    Script("weighted_backward", "backward on a vector of losses", "median loss ", 0.04),
    Script("evolution", "gradients set by hand, no backward", "cost ", 0.6),
    Script(
        "infinite_loader",
        "steps, not epochs; next() and StopIteration",
        r"step \d+ loss ",
        0.8,
        arguments=("--max_steps", "160"),
    ),
    Script("sam", "two backward passes a step, a generator of batches", r"\d: loss ", 0.1),
    Script("mixup_frozen_bn", "mixup, batch norms kept in eval mode", "valid loss ", 0.5),
    Script(
        "prompt_tuning",
        "soft prompt before a frozen language model",
        "mean loss ",
        2.8,
        needs=("transformers",),
    ),
    Script("amp_fp16", "float16 autocast, first steps skipped by the scaler", "loss ", 0.2),
    Script("moco_queue", "momentum encoder and a queue of keys", r"step \d+ loss ", 2.7),
    Script("mc_dropout", "weight norm, dropout while predicting", "error ", 0.16),
    Script("ddp_spawn", "two processes by torch.multiprocessing.spawn", r"epoch \d loss ", 0.2),
    Script("ddp_gloo", "DistributedDataParallel in a group of one", r"epoch \d loss ", 0.7),
)


def named(name: str) -> Script:
    """Return a script by its name."""
    return next(script for script in ALL if script.name == name)
