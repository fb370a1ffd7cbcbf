"""Which sentence means the same? Embeddings of a pressed all-MiniLM-L6-v2, without torch.

    python sentences.py minilm.bp tokenizer.json --query "Resetting the device" "A cat sits." "How do I reset it?"

minilm.bp: the encoder with mean pooling as a pressed network of inputs ``input_ids`` and ``attention_mask`` (int64, 1 x
tokens) and one output, the embedding. tokenizer.json: as the model's package has it; it is read by the package
tokenizers (pip install tokenizers). It prints each sentence with the cosine between it and the query, the nearest
first. The network's tokens are a fixed number: shorter sentences are padded, longer ones cut.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

import bitpress as bp

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]


def embedder(network: str, tokenizer: str) -> Embed:
    """A function of some sentences that gives their embeddings, [sentences, width], each of length 1."""
    from tokenizers import Tokenizer

    session = bp.Session(network)
    shape = next(value.shape for value in session.inputs if value.name == "input_ids")
    if shape is None or shape[1] < 1:
        raise SystemExit(f"{network}: its number of tokens is not fixed: export it for one")
    words = Tokenizer.from_file(tokenizer)
    words.enable_truncation(shape[1])
    words.enable_padding(length=shape[1])

    def embed(sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = []
        for encoding in words.encode_batch(list(sentences)):
            inputs = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask}
            (row,) = session.run({name: np.array([ids], np.int64) for name, ids in inputs.items()}).values()
            rows.append(row[0] / np.linalg.norm(row[0]))
        return np.stack(rows)

    return embed


def main() -> None:
    """Rank the sentences by their nearness to the query."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("network")
    parser.add_argument("tokenizer")
    parser.add_argument("sentence", nargs="+")
    parser.add_argument("--query", required=True)
    given = parser.parse_args()
    query, *rows = embedder(given.network, given.tokenizer)([given.query, *given.sentence])
    for nearness, sentence in sorted(
        ((float(row @ query), text) for row, text in zip(rows, given.sentence, strict=True)), reverse=True
    ):
        print(f"{nearness:.3f}  {sentence}")


if __name__ == "__main__":
    main()
