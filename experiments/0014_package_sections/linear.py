"""TF-IDF of words and pairs of words, and a linear support vector machine for each class.

python linear.py descriptions.train.tsv.gz descriptions.val.tsv.gz 0.3 1
"""

import gzip
import sys
import time
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.svm import LinearSVC


def read(file: str) -> tuple[list[str], list[str]]:
    lines = gzip.decompress(Path(file).read_bytes()).decode().removesuffix("\n").split("\n")
    rows = [line.split("\t") for line in lines]
    return [row[3] for row in rows], [row[0] for row in rows]


(texts, sections), (test_texts, test_sections) = read(sys.argv[1]), read(sys.argv[2])
vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2))
features, test_features = vectorizer.fit_transform(texts), vectorizer.transform(test_texts)
for penalty in map(float, sys.argv[3:]):
    told = LinearSVC(C=penalty, tol=1e-3).fit(features, sections).predict(test_features)
    accuracy = accuracy_score(test_sections, told)
    macro = f1_score(test_sections, told, average="macro", zero_division=0)
    seconds = time.process_time()
    print(
        f"C={penalty:g}: accuracy {accuracy:.4f}, macro-F1 {macro:.4f}, {seconds:.0f} CPU s so far"
    )
