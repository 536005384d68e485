// The spill files of one ingest: events by partition (a range of subject keys), written while
// reading and again, sorted and repaired, for the passes that follow. They lie in the store's
// partial folder, which all ranks share, and are removed before the store gets its final name.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <semaphore>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataio/ingest/reading/event_records.h"

namespace sequela {

// How many files the process may have open at once (ulimit -n), at most 2^20.
std::int64_t OpenFileLimit();

class PartitionFiles {
 public:
  // Partitions and `work` are the same on all ranks; the folder exists. `work` is a part of the
  // files' names that no other ingestion has: whoever was taken for gone and is not neither reads
  // nor extends these files. However many partitions there are, at most a third of the files that
  // the process may have open are open between two calls and for the calls that run.
  PartitionFiles(std::filesystem::path folder, std::string work, int partitions, int rank,
                 int ranks);

  int count() const { return partitions_; }
  int PartitionOf(std::uint64_t subject_key) const {
    return static_cast<int>(((subject_key >> 32) * static_cast<std::uint64_t>(partitions_)) >> 32);
  }
  // Safe for concurrent use. Throws MachineError (disk full).
  void AppendRaw(int partition, std::span<const RawEvent> events);
  // `extras` of which `texts` holds the texts, at the offsets they say. Likewise.
  void AppendExtras(int partition, std::span<RowExtra> extras, std::string_view texts);
  void CloseRaw();  // this rank appends no more
  // All ranks' raw events of a partition, in no particular order; the files are removed.
  std::vector<RawEvent> TakeRaw(int partition) const;
  std::vector<RowExtra> TakeExtras(int partition) const;
  void SaveClean(int partition, const CleanPartition& clean) const;
  CleanPartition LoadClean(int partition) const;
  void RemoveClean(int partition) const;  // and the texts

 private:
  friend class KeptTexts;
  // A file that is appended to; open from the first time on, where the limit allows it.
  struct Output {
    int fd = -1;
    bool exists = false;
  };
  struct Sink {
    std::mutex mutex;
    Output raw, extra, text;
    std::uint64_t text_bytes = 0;
    void Close();
    ~Sink() { Close(); }
  };
  std::filesystem::path FileOf(const char* kind, int partition, int rank) const;
  std::filesystem::path CleanFile(int partition) const;
  void Append(const char* kind, int partition, Output& output, std::span<const std::byte> bytes);
  template <typename T>
  std::vector<T> Take(const char* kind, int partition) const;

  std::filesystem::path folder_;
  std::string work_;
  int partitions_;
  int rank_;
  int ranks_;
  std::vector<std::unique_ptr<Sink>> sinks_;
  std::atomic<std::int64_t> may_stay_open_;
  std::counting_semaphore<> may_open_;  // for one call each, beside those that stay open
};

// The texts of one partition's extras, as long as they are kept (RemoveClean). One thread at a
// time.
class KeptTexts {
 public:
  KeptTexts(const PartitionFiles& files, int partition);
  ~KeptTexts();
  KeptTexts(const KeptTexts&) = delete;
  KeptTexts& operator=(const KeptTexts&) = delete;
  // Valid until the next call. Throws MachineError.
  std::string_view Read(const RowExtra& extra);

 private:
  const PartitionFiles& files_;
  int partition_;
  std::vector<int> fds_;  // by rank; -1: not opened yet
  std::string text_;
};

}  // namespace sequela
