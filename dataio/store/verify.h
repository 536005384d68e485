// Reading all of a chain store and checking everything that can be checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

namespace sequela {

struct VerifySummary {
  std::int64_t shards = 0;
  std::int64_t subjects = 0;
  std::int64_t events = 0;  // tokens with a code
  std::int64_t tokens = 0;
  std::uint64_t bytes = 0;  // of the shards
  // Whether the manifest has a digest of its own; without it (stores before version 1.2) changes of
  // what no other checksum covers go unseen: tokenization, source, simulation.
  bool has_manifest_digest = false;
};

// In this order: shards that the manifest does not list, checksums of the files before the HDF5
// library sees them, structure (ChainStore::Open), checksums of the datasets, then each chain
// against dataio/CHAIN_FORMAT.md: ranges of tokens and codes, order of kinds and times, values,
// splits, and subjects that stand once. Throws InputError with the first fault: file, dataset,
// place, what was found and expected.
// `opening` is called with each shard before the HDF5 library sees it; it may be empty.
VerifySummary VerifyStore(const std::filesystem::path& folder,
                          const std::function<void(const std::filesystem::path&)>& opening = {});

// The same for files of unknown origin, in a process of its own: HDF5 1.10's parser crashes on
// forged structure that all checksums agree with. Its death is an InputError that names the shard.
VerifySummary VerifyStoreInChild(const std::filesystem::path& folder);

}  // namespace sequela
