"""Rebuilds chains with h5py and numpy alone and prints what it counted as JSON (an independent reader
of dataio/CHAIN_FORMAT.md; run by chain_format_test.cc)."""
import json
import pathlib
import sys

import h5py
import numpy as np


def main(folder):
    store = pathlib.Path(folder)
    manifest = json.loads((store / "manifest.json").read_text())
    tokens = json.loads((store / "vocabulary.json").read_text())["tokens"]
    kinds = np.array([token["kind"] for token in tokens])
    names = ["train", "tuning", "held_out"]
    splits = {name: {"subjects": 0, "events": 0, "tokens": 0} for name in names}
    occurrences = {kind: 0 for kind in ("special", "static", "age", "gap", "code", "value")}
    values = 0
    for shard in manifest["shards"]:
        with h5py.File(store / shard["file"], "r") as file:
            for path in ("/chain/token", "/chain/time", "/chain/code", "/chain/value", "/subject/id",
                         "/subject/offset", "/subject/split"):
                dataset = file[path]
                assert dataset.chunks is None and dataset.compression is None, path
                assert dataset.size == 0 or dataset.id.get_offset() % 4096 == 0, path
                assert "%08x" % dataset.attrs["crc32c"] == shard["datasets_crc32c"][path], path
            token = file["/chain/token"][:]
            code = file["/chain/code"][:]
            time = file["/chain/time"][:]
            offset = file["/subject/offset"][:].astype(np.int64)
            for i, split in enumerate(file["/subject/split"][:]):
                chain = slice(offset[i], offset[i + 1])
                facts = splits[names[split]]
                facts["subjects"] += 1
                facts["tokens"] += int(offset[i + 1] - offset[i])
                facts["events"] += int((code[chain] != 0xFFFFFFFF).sum())
                timed = time[chain][kinds[token[chain]] != "static"]
                assert (np.diff(timed) >= 0).all()
            for kind in occurrences:
                occurrences[kind] += int((kinds[token] == kind).sum())
            values += int((~np.isnan(file["/chain/value"][:])).sum())
    print(json.dumps({"splits": splits, "occurrences": occurrences, "values": values}))


main(sys.argv[1])
