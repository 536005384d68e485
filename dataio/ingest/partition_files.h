// The spill files of one ingest: events by partition (a range of subject keys), written while
// reading and again, sorted and repaired, for the passes that follow. They lie in the store's
// partial folder, which all ranks share, and are removed before the store gets its final name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "dataio/ingest/event_records.h"

namespace sequela {

class PartitionFiles {
 public:
  // Partitions are the same on all ranks; the folder exists.
  PartitionFiles(std::filesystem::path folder, int partitions, int rank, int ranks);

  int count() const { return partitions_; }
  int PartitionOf(std::uint64_t subject_key) const {
    return static_cast<int>(((subject_key >> 32) * static_cast<std::uint64_t>(partitions_)) >> 32);
  }
  // Safe for concurrent use. Throws MachineError (disk full).
  void AppendRaw(int partition, std::span<const RawEvent> events);
  void CloseRaw();  // this rank appends no more
  // All ranks' raw events of a partition, in no particular order; the files are removed.
  std::vector<RawEvent> TakeRaw(int partition) const;
  void SaveClean(int partition, const CleanPartition& clean) const;
  CleanPartition LoadClean(int partition) const;
  void RemoveClean(int partition) const;

 private:
  struct Sink {
    std::mutex mutex;
    int fd = -1;
    ~Sink();
  };
  std::filesystem::path RawFile(int partition, int rank) const;
  std::filesystem::path CleanFile(int partition) const;

  std::filesystem::path folder_;
  int partitions_;
  int rank_;
  int ranks_;
  std::vector<std::unique_ptr<Sink>> sinks_;
};

}  // namespace sequela
