"""Makes tokenizer.json: a byte-level BPE of 512 tokens, trained on sonnets.txt.

The file is kept in the repository; run this again only if the text changes.
"""

from pathlib import Path

from tokenizers import ByteLevelBPETokenizer

here = Path(__file__).parent
tokenizer = ByteLevelBPETokenizer()
tokenizer.train(
    [str(here / "sonnets.txt")], vocab_size=512, min_frequency=2, special_tokens=["<|endoftext|>"]
)
tokenizer.save(str(here / "tokenizer.json"))
