"""What a frozen backbone is worth: its features of a data set, and three readers of them.

Promise: the figures that are reported come from samples that no choice was made on. Called by
`vit probe`, `vit features`, `vit predict --features` (vit/jobs/probing.py), by the callback of
`watch.probe_every`, and by `vit.load(…).features`.

    vectors      what a feature is: class token, mean of patches, the head's pool; of which blocks
    collecting   a pass over a split, on one process or on several
    cache        vectors on disk, by a hash of weights, transform and data
    vector_file  vectors for other tools, as safetensors or .npz
    places       the usual folder of the cache, and the names of files
    neighbours, linear, logistic   the readers
    probing      all of them, each chosen on held-out training data
"""
