"""What the first sentence of a description scores as its synopsis, and its first ten words.

python experiments/0016_synopses/first_sentence.py descriptions.val.tsv.gz
"""

import gzip
import re
import sys
from pathlib import Path

import sacrebleu

from vit.metrics.written import rouge

with gzip.open(Path(sys.argv[1]), "rt", encoding="utf-8") as file:
    rows = [line.rstrip("\n").split("\t") for line in file]
right = [row[2] for row in rows]
first = [re.split(r"(?<=[.!?])\s", row[3], maxsplit=1)[0] for row in rows]
ten = [" ".join(sentence.split()[:10]) for sentence in first]
for name, written in (("first sentence", first), ("its first ten words", ten)):
    scores = [rouge(*pair) for pair in zip(written, right, strict=True)]
    means = [sum(column) / len(rows) for column in zip(*scores, strict=True)]
    bleu = sacrebleu.corpus_bleu(written, [right]).score
    chrf = sacrebleu.corpus_chrf(written, [right]).score
    print(f"{name}: BLEU {bleu:.1f}, chrF {chrf:.1f}", *(f"{mean:.3f}" for mean in means))
