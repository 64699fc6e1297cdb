"""What warnings of torch and transformers mean for training, by their texts.

Each was provoked with torch 2.13 and transformers 5.23; `tests/probes/test_library_warnings.py`
does so again. Left out are those that mean nothing for the result (speed, deprecation), and those
whose fault another rule measures in every case: duplicate parameters (TD410), an autocast that is
disabled (TD716), a loss that is copied by `torch.tensor` (TD101), padding without a mask (TD015),
a checkpoint that cuts the gradient (TD306).
"""

from __future__ import annotations

from dataclasses import dataclass

from traindoctor.probing import Remedy, Severity

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


@dataclass(frozen=True, slots=True)
class Known:
    """One warning: the text it is known by, and what it means."""

    name: str
    text: str  # a regular expression that its text matches somewhere
    severity: Severity
    title: str
    mechanism: str
    remedy: Remedy
    explains: tuple[str, ...] = ()


KNOWN = (
    Known(
        "target-broadcast",
        r"Using a target size \(torch\.Size\(\[(?P<target>[\d, ]*)\]\)\) that is different to the "
        r"input size \(torch\.Size\(\[(?P<given>[\d, ]*)\]\)\)",
        ERROR,
        "A loss compares every prediction with every target",
        "Shapes that differ are broadcast: (N, 1) with (N,) makes N × N differences, of which N "
        "compare a prediction with its own target.",
        Remedy("Give both the same shape", True, after="loss = F.mse_loss(outputs.squeeze(1), y)"),
        ("TD103", "TD6", "TD712"),
    ),
    Known(
        "no-sample-in-epoch",
        r"There seems not to be a single sample in your epoch_iterator",
        WARNING,
        "The trainer stops early because its data has ended",
        "The data set yields nothing (any more): an iterator is used up after one pass.",
        Remedy("Let the data set's `__iter__` begin anew each time it is called", True),
        ("TD013", "TD404", "TD502", "TD513"),
    ),
    Known(
        "scheduler-before-optimizer",
        r"Detected call of `lr_scheduler\.step\(\)` before `optimizer\.step\(\)`",
        WARNING,
        "The schedule steps before the optimizer does",
        "The first learning rate of the schedule is never used.",
        Remedy(
            "Step the optimizer first",
            True,
            before="scheduler.step()\noptimizer.step()",
            after="optimizer.step()\nscheduler.step()",
        ),
    ),
    Known(
        "clipping-nothing",
        r"`parameters` is an empty generator, no gradient clipping will occur",
        WARNING,
        "Nothing is clipped: the parameters are an iterator that is used up",
        "`model.parameters()` can be walked once. Whoever keeps it in a variable and walks it "
        "again, for each step, finds nothing.",
        Remedy(
            "Ask for the parameters in each step",
            True,
            before="clip_grad_norm_(parameters, 1.0)",
            after="clip_grad_norm_(model.parameters(), 1.0)",
        ),
        ("TD205",),
    ),
    Known(
        "gradient-of-no-leaf",
        r"The \.grad attribute of a Tensor that is not a leaf Tensor is being accessed",
        WARNING,
        "The gradient of a computed tensor is read, and there is none",
        "Backward fills `.grad` of leaves alone. A parameter that was moved or scaled after it was "
        "made (`torch.zeros(3, requires_grad=True).to(device)`) is none.",
        Remedy("Make the tensor on its device, or call `retain_grad()`", True),
    ),
    Known(
        "iterable-longer-than-it-says",
        r"Length of IterableDataset .* was reported to be \d+",
        WARNING,
        "An iterable data set yields more samples than its length says",
        "Epochs, schedules and progress are counted by the length. With several workers it is the "
        "sign that each of them yields all of the data.",
        Remedy("Share the samples out by `get_worker_info()`, or mend `__len__`", True),
    ),
    Known(
        "single-layer-dropout",
        r"dropout option adds dropout after all but last recurrent layer",
        WARNING,
        "A recurrent layer's dropout does nothing",
        "It stands between the layers of one module, and there is one layer.",
        Remedy("Put a dropout layer behind it", True, after="x = self.dropout(self.rnn(x)[0])"),
    ),
    Known(
        "softmax-over-a-guess",
        r"Implicit dimension choice for (log_)?softm(ax|in) has been deprecated",
        WARNING,
        "A softmax chooses its dimension itself",
        "For one and three dimensions it takes the first, the batch; for two and four the second.",
        Remedy("Name the dimension", True, before="F.softmax(x)", after="F.softmax(x, dim=-1)"),
    ),
    Known(
        "kl-mean",
        r"reduction: 'mean' divides the total loss by both the batch size and the support size",
        WARNING,
        "A KL divergence is divided by the number of classes as well",
        "'mean' divides by all elements; the divergence is a sum over classes.",
        Remedy("Take the mean over the batch", True, after="F.kl_div(x, y, reduction='batchmean')"),
    ),
    Known(
        "deviation-of-one",
        r"(std|var)\w*\(\): degrees of freedom is <= 0",
        WARNING,
        "The deviation of a single value is taken, and is NaN",
        "The unbiased estimate divides by the number of values less one.",
        Remedy("Take the biased estimate, or more values", True, after="x.std(correction=0)"),
        ("TD102", "TD203", "TD418"),
    ),
    Known(
        "imaginary-part-lost",
        r"Casting complex values to real discards the imaginary part",
        WARNING,
        "Complex values lose their imaginary part",
        "What is cast to a real type keeps its real part alone, and so does its gradient.",
        Remedy("Say which part is meant", True, before="x.float()", after="x.abs()"),
    ),
    Known(
        "channel-dropout-on-vectors",
        r"dropout[23]d: Received a",
        WARNING,
        "A dropout of whole channels is given something without channels",
        "It zeroes whole channels of (batch, channels, height, width). Of other shapes the second "
        "axis is taken for channels, or every element.",
        Remedy("Use the plain one", True, before="nn.Dropout2d(p)", after="nn.Dropout(p)"),
    ),
    Known(
        "empty-split",
        r"Length of split at index \d+ is 0",
        WARNING,
        "A part of the split data is empty",
        "Fractions are rounded down: a small data set leaves nothing for a small part.",
        Remedy("Give lengths, or a larger fraction", True),
        ("TD013",),
    ),
    Known(
        "output-resized",
        r"An output with one or more elements was resized since it had shape",
        WARNING,
        "An operation resizes the tensor that it was to write to",
        "`out=` was of another shape than the result: what it was a view of is not written to.",
        Remedy("Make the output of the result's shape, or leave `out` away", True),
    ),
    Known(
        "hook-misses-gradients",
        r"Using a non-full backward hook when the forward contains multiple autograd Nodes",
        WARNING,
        "A backward hook sees the gradients of the last operation alone",
        "The old kind of hook stands at the last node of a module's graph: what it is given as the "
        "module's input gradients are that node's.",
        Remedy(
            "Register a full backward hook",
            True,
            before="module.register_backward_hook(hook)",
            after="module.register_full_backward_hook(hook)",
        ),
    ),
    Known(
        "hook-never-called",
        r"For backward hooks to be called, module output should be a Tensor or a tuple of Tensors",
        WARNING,
        "A backward hook is not called: the module returns something else than tensors",
        "A full backward hook is put on the tensors of a module's output. In a dict they are not "
        "found.",
        Remedy("Register it on a module inside that returns a tensor", True),
    ),
    Known(
        "anomaly-mode-left-on",
        r"Anomaly Detection has been enabled",
        WARNING,
        "Training runs in autograd's anomaly mode",
        "Every operation keeps its traceback, and every gradient is searched for NaN: about twice "
        "the time of a step.",
        Remedy("Take it out when the NaN is found", True),
    ),
    Known(
        "nothing-initialised",
        r"Initializing zero-element tensors is a no-op",
        WARNING,
        "A layer without elements is built",
        "One of its sizes is 0: it computes nothing but its bias.",
        Remedy("Look at where the size comes from", True),
    ),
    Known(
        "sequence-too-long",
        r"Token indices sequence length is longer than the specified maximum sequence length",
        WARNING,
        "A text is longer than the model can take",
        "Positions beyond the model's last have no embedding, or one that was never trained.",
        Remedy("Truncate", True, after="tokenizer(text, truncation=True)"),
        ("TD007",),
    ),
    Known(
        "padded-on-the-wrong-side",
        r"A decoder-only architecture is being used, but right-padding was detected",
        WARNING,
        "A decoder generates behind padding",
        "It goes on from the last position of each row, which is padding in all but the longest.",
        Remedy("Pad on the left", True, after="tokenizer.padding_side = 'left'"),
    ),
    Known(
        "checkpoint-lacks-keys",
        r"There were missing keys in the checkpoint model loaded",
        WARNING,
        "A run is resumed from a checkpoint that lacks some of the weights",
        "What it lacks stays as it was initialised.",
        Remedy("Compare the names in the checkpoint with the model's", True),
    ),
    Known(
        "checkpoint-has-more-keys",
        r"There were unexpected keys in the checkpoint model loaded",
        WARNING,
        "A run is resumed from a checkpoint of another model",
        "Weights that the model has no place for are dropped.",
        Remedy("Compare the names in the checkpoint with the model's", True),
    ),
    Known(
        "smoothing-dropped",
        r"Label smoothing is not compatible with multi-label classification",
        WARNING,
        "The label smoothing that was asked for is left out",
        "The trainer smooths one label a sample, not several.",
        Remedy("Leave it out of the arguments, or smooth the targets yourself", True),
    ),
    Known(
        "loss-without-labels",
        r"`compute_loss_func` is defined but `labels=None`",
        WARNING,
        "The trainer calls the loss function without labels",
        "It takes them from the batch's key `labels`, and there is none.",
        Remedy("Let the collator call them `labels`", True),
    ),
    Known(
        "last-rate-misread",
        r"To get the last learning rate computed by the scheduler, please use `get_last_lr\(\)`",
        INFO,
        "A learning rate is read that is not the one in use",
        "`get_lr()` computes the next rate from the current one.",
        Remedy("Read the last one", True, after="scheduler.get_last_lr()"),
    ),
    Known(
        "array-not-writable",
        r"The given NumPy array is not writable",
        INFO,
        "Tensors share memory that must not be written to",
        "An augmentation that works in place writes into the file or the image it came from.",
        Remedy("Copy the array", True, after="torch.from_numpy(array.copy())"),
    ),
    Known(
        "gradient-refers-to-itself",
        r"Using backward\(\) with create_graph=True will create a reference cycle",
        INFO,
        "Gradients keep their own graph alive",
        "`backward(create_graph=True)` leaves graphs in `.grad`, until that is set to None.",
        Remedy("Use `torch.autograd.grad`", True),
    ),
    Known(
        "scalars-gathered",
        r"Was asked to gather along dimension 0, but all input tensors were scalars",
        INFO,
        "The loss is a vector with an entry for each device",
        "`DataParallel` stacks what the replicas return. It is to be averaged before backward.",
        Remedy("Average it", True, after="loss = loss.mean()"),
    ),
)  # fmt: skip
