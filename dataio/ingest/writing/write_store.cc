#include "dataio/ingest/writing/write_store.h"

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "dataio/base/workers.h"
#include "dataio/ingest/reading/bytes.h"
#include "kernels/base/check.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

// What a subject adds to its shard.
struct SubjectSize {
  std::uint32_t tokens = 0;
  std::uint32_t events = 0;
  std::int64_t text_bytes = 0;
  std::uint32_t texts = 0;

  // About: with u16 tokens.
  std::int64_t Bytes(bool stays, bool with_texts) const {
    return std::int64_t{tokens} * (2 + 8 + 4 + 4 + (stays ? 8 : 0)) +
           (with_texts ? std::int64_t{events} * 8 + text_bytes : 0);
  }
};

SubjectSize SizeOf(const EncodedChain& chain, std::size_t begin, const CleanPartition& clean) {
  SubjectSize size;
  for (std::size_t i = begin; i < chain.size(); ++i) {
    ++size.tokens;
    size.events += chain.code[i] != kNoCode ? 1 : 0;
    if (chain.extra[i] == 0) continue;
    const std::uint32_t bytes = clean.extras[chain.extra[i] - 1].text_size;
    size.text_bytes += bytes;
    size.texts += bytes > 0 ? 1 : 0;
  }
  return size;
}

// A shard takes the subjects whose first byte, in the order of all subjects, falls into its share.
struct ShardPlan {
  std::int64_t total_bytes = 0;
  int shards = 1;
  std::vector<std::int64_t> partition_begin;  // [partitions + 1] first byte of each
  std::vector<ShardCounts> counts;            // [shards]
  std::vector<ShardExtras> extras;            // [shards]

  int ShardOf(std::int64_t first_byte) const {
    const auto share = static_cast<double>(total_bytes) / shards;
    const int shard = static_cast<int>(static_cast<double>(first_byte) / share);
    return std::min(shard, shards - 1);
  }
};

// Each subject's size, partition by partition; a rank knows those of its own partitions.
using Sizes = std::map<int, std::vector<SubjectSize>>;

struct Appended {
  std::mutex mutex;
  std::condition_variable turn;
  int next = 0;
  bool failed = false;
};

class ShardsWriter {
 public:
  explicit ShardsWriter(const WriteTask& task) : task_(task) {}

  StoreContent Write() {
    MeasureAndCount();
    MakePlan();
    WriteMine();
    Gather();
    return std::move(content_);
  }

 private:
  // Encodes every subject of this rank's partitions once, for lengths and counts.
  void MeasureAndCount() {
    const auto size = static_cast<std::size_t>(task_.vocabulary.size());
    for (auto& counts : content_.token_counts) counts.assign(size, 0);
    const int mine = task_.partitions.count() - task_.ranks.index;
    std::mutex mutex;
    RunTasks(task_.workers, mine <= 0 ? 0 : CeilDiv(mine, task_.ranks.count),
             [&](int, std::int64_t t) {
               const int partition = static_cast<int>(t) * task_.ranks.count + task_.ranks.index;
               std::array<std::vector<std::int64_t>, 3> counts;
               for (auto& split : counts) split.assign(size, 0);
               std::vector<SubjectSize> sizes;
               std::int64_t without_token = 0;
               ForEachChain(partition, &without_token,
                            [&](const SubjectRecord& subject, const EncodedChain& chain,
                                const CleanPartition& clean) {
                              sizes.push_back(SizeOf(chain, 0, clean));
                              for (const auto token : chain.token) ++counts[subject.split][token];
                            });
               const std::lock_guard lock(mutex);
               for (const SubjectSize& one : sizes) content_.kept_texts += one.texts;
               sizes_[partition] = std::move(sizes);
               content_.facts_without_token += without_token;
               for (std::size_t split = 0; split < 3; ++split) {
                 for (std::size_t i = 0; i < size; ++i) {
                   content_.token_counts[split][i] += counts[split][i];
                 }
               }
             });
  }

  void ForEachChain(int partition, std::int64_t* without_token,
                    const std::function<void(const SubjectRecord&, const EncodedChain&,
                                             const CleanPartition&)>& use) const {
    const CleanPartition clean = task_.partitions.LoadClean(partition);
    std::span<const CleanEvent> rest = clean.events;
    EncodedChain chain;
    for (const SubjectRecord& subject : clean.subjects) {
      const std::size_t count = std::size_t{subject.num_static} + subject.num_timed;
      chain.Clear();
      task_.tokenizer.Encode(subject, rest.first(count), chain, without_token);
      rest = rest.subspan(count);
      use(subject, chain, clean);
    }
  }

  std::int64_t BytesOf(const SubjectSize& size) const {
    return size.Bytes(task_.keep_stays, task_.keep_texts);
  }

  void MakePlan() {
    const auto partitions = static_cast<std::size_t>(task_.partitions.count());
    std::vector<std::int64_t> totals(partitions);
    for (const auto& [partition, sizes] : sizes_) {
      for (const SubjectSize& size : sizes) {
        totals[static_cast<std::size_t>(partition)] += BytesOf(size);
      }
    }
    totals = SumOverRanks(totals);
    plan_.partition_begin.push_back(0);
    for (const std::int64_t total : totals) {
      plan_.partition_begin.push_back(plan_.partition_begin.back() + total);
    }
    plan_.total_bytes = plan_.partition_begin.back();
    plan_.shards =
        static_cast<int>(std::max<std::int64_t>(1, CeilDiv(plan_.total_bytes, task_.shard_bytes)));
    CountShards();
    sizes_.clear();
  }

  void CountShards() {
    constexpr std::size_t kCounts = 4;
    std::vector<std::int64_t> counts(static_cast<std::size_t>(plan_.shards) * kCounts);
    for (const auto& [partition, sizes] : sizes_) {
      std::int64_t first = plan_.partition_begin[static_cast<std::size_t>(partition)];
      for (const SubjectSize& size : sizes) {
        std::int64_t* of_shard =
            counts.data() + static_cast<std::size_t>(plan_.ShardOf(first)) * kCounts;
        of_shard[0] += 1;
        of_shard[1] += size.tokens;
        of_shard[2] += size.events;
        of_shard[3] += size.text_bytes;
        first += BytesOf(size);
      }
    }
    counts = SumOverRanks(counts);
    for (std::size_t i = 0; i < counts.size(); i += kCounts) {
      plan_.counts.push_back({counts[i], counts[i + 1]});
      ShardExtras extras{.stays = task_.keep_stays, .texts = task_.keep_texts};
      if (task_.keep_texts) {
        extras.events = counts[i + 2];
        extras.text_bytes = counts[i + 3];
      }
      plan_.extras.push_back(extras);
    }
  }

  std::vector<std::int64_t> SumOverRanks(const std::vector<std::int64_t>& mine) const {
    ByteWriter bytes;
    bytes.Put(mine);
    std::vector<std::int64_t> sums(mine.size());
    for (const std::string& packed : task_.ranks.Exchange(bytes.Take())) {
      std::vector<std::int64_t> values;
      ByteReader(packed).Get(values);
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += values[i];
    }
    return sums;
  }

  bool IsMine(int shard) const { return shard % task_.ranks.count == task_.ranks.index; }

  // Partitions that hold a subject of one of this rank's shards.
  std::vector<int> PartitionsOfMyShards() const {
    std::vector<int> partitions;
    for (int p = 0; p < task_.partitions.count(); ++p) {
      const std::int64_t begin = plan_.partition_begin[static_cast<std::size_t>(p)];
      const std::int64_t end = plan_.partition_begin[static_cast<std::size_t>(p) + 1];
      bool mine = false;
      for (int shard = plan_.ShardOf(begin); begin < end && shard <= plan_.ShardOf(end - 1);
           ++shard) {
        mine = mine || IsMine(shard);
      }
      if (mine) partitions.push_back(p);
    }
    return partitions;
  }

  // One partition's chains end to end.
  struct EncodedPartition {
    std::vector<SubjectRecord> subjects;
    std::vector<std::size_t> offsets = {0};
    std::vector<std::int64_t> bytes;  // of each subject, as the plan counts them
    EncodedChain chains;
    std::vector<RowExtra> extras;
  };

  EncodedPartition EncodePartition(int partition) const {
    CleanPartition clean = task_.partitions.LoadClean(partition);
    EncodedPartition out;
    std::int64_t ignored = 0;
    std::span<const CleanEvent> rest = clean.events;
    for (const SubjectRecord& subject : clean.subjects) {
      const std::size_t count = std::size_t{subject.num_static} + subject.num_timed;
      task_.tokenizer.Encode(subject, rest.first(count), out.chains, &ignored);
      rest = rest.subspan(count);
      out.bytes.push_back(BytesOf(SizeOf(out.chains, out.offsets.back(), clean)));
      out.offsets.push_back(out.chains.size());
    }
    out.subjects = std::move(clean.subjects);
    out.extras = std::move(clean.extras);
    return out;
  }

  void WriteMine() {
    const std::vector<int> partitions = PartitionsOfMyShards();
    Appended appended;
    RunTasks(task_.workers, static_cast<std::int64_t>(partitions.size()), [&](int, std::int64_t t) {
      const auto turn = static_cast<int>(t);
      try {
        const int partition = partitions[static_cast<std::size_t>(t)];
        const EncodedPartition encoded = EncodePartition(partition);
        std::unique_lock lock(appended.mutex);
        appended.turn.wait(lock, [&] { return appended.next == turn || appended.failed; });
        if (appended.failed) return;
        AppendPartition(partition, encoded);
        ++appended.next;
        lock.unlock();
        appended.turn.notify_all();
        if (task_.ranks.count == 1) task_.partitions.RemoveClean(partition);
        if (task_.progress) task_.progress(turn + 1, static_cast<std::int64_t>(partitions.size()));
      } catch (...) {
        const std::lock_guard lock(appended.mutex);
        appended.failed = true;
        appended.turn.notify_all();
        throw;
      }
    });
    FinishShard();
    for (int shard = 0; shard < plan_.shards; ++shard) {
      // A shard without subjects (one subject larger than a shard lies before it) is a file all the
      // same.
      if (!IsMine(shard) || plan_.counts[static_cast<std::size_t>(shard)].subjects > 0) continue;
      OpenShard(shard);
      FinishShard();
    }
    task_.ranks.Exchange("");
    if (task_.ranks.count > 1 && task_.ranks.index == 0) {
      for (int p = 0; p < task_.partitions.count(); ++p) task_.partitions.RemoveClean(p);
    }
  }

  void AppendPartition(int partition, const EncodedPartition& encoded) {
    std::int64_t next = plan_.partition_begin[static_cast<std::size_t>(partition)];
    const EncodedChain& chains = encoded.chains;
    KeptTexts texts(task_.partitions, partition);
    std::vector<std::int64_t> stays;
    for (std::size_t i = 0; i < encoded.subjects.size(); ++i) {
      const std::size_t from = encoded.offsets[i];
      const std::size_t count = encoded.offsets[i + 1] - from;
      const int shard = plan_.ShardOf(next);
      next += encoded.bytes[i];
      if (!IsMine(shard)) continue;
      if (shard != open_shard_) {
        FinishShard();
        OpenShard(shard);
      }
      const auto extra_of = [&](std::size_t token) -> const RowExtra& {
        const std::uint32_t extra = chains.extra[token];
        return extra == 0 ? kNoExtra : encoded.extras[extra - 1];
      };
      stays.clear();
      for (std::size_t t = from; task_.keep_stays && t < from + count; ++t) {
        stays.push_back(extra_of(t).stay);
      }
      const SubjectRecord& subject = encoded.subjects[i];
      writer_->Append(subject.subject_id, static_cast<Split>(subject.split),
                      std::span(chains.token).subspan(from, count),
                      std::span(chains.time_us).subspan(from, count),
                      std::span(chains.code).subspan(from, count),
                      std::span(chains.value).subspan(from, count), stays);
      for (std::size_t t = from; task_.keep_texts && t < from + count; ++t) {
        if (chains.code[t] != kNoCode) writer_->AppendText(texts.Read(extra_of(t)));
      }
    }
  }

  void OpenShard(int shard) {
    open_shard_ = shard;
    writer_.emplace(task_.folder / ShardFileName(shard, plan_.shards),
                    plan_.counts[static_cast<std::size_t>(shard)], task_.vocabulary.size(),
                    task_.vocabulary.hash(), plan_.extras[static_cast<std::size_t>(shard)]);
  }
  void FinishShard() {
    if (!writer_) return;
    summaries_[open_shard_] = writer_->Finish();
    writer_.reset();
    open_shard_ = -1;
  }

  void Gather() {
    for (std::size_t split = 0; split < 3; ++split) {
      content_.token_counts[split] = SumOverRanks(content_.token_counts[split]);
      for (const std::int64_t count : content_.token_counts[split]) content_.tokens[split] += count;
    }
    content_.facts_without_token = SumOverRanks({content_.facts_without_token})[0];
    content_.kept_texts = SumOverRanks({content_.kept_texts})[0];
    ByteWriter bytes;
    bytes.Put<std::uint64_t>(summaries_.size());
    for (const auto& [shard, summary] : summaries_) {
      bytes.Put(shard);
      bytes.Put(summary.file_name);
      bytes.Put(summary.counts);
      bytes.Put(summary.by_split);
      bytes.Put(summary.extras);
      bytes.Put(summary.file_bytes);
      bytes.Put(summary.file_crc32c);
      bytes.Put<std::uint64_t>(summary.crcs.size());
      for (const auto& [name, crc] : summary.crcs) {
        bytes.Put(name);
        bytes.Put(crc);
      }
      bytes.Put<std::uint64_t>(summary.chain_extents.size());
      for (const auto& [offset, size] : summary.chain_extents) {
        bytes.Put(offset);
        bytes.Put(size);
      }
      bytes.Put(summary.structure_crc32c);
    }
    content_.shards.resize(static_cast<std::size_t>(plan_.shards));
    for (const std::string& packed : task_.ranks.Exchange(bytes.Take())) Unpack(packed);
  }

  void Unpack(const std::string& packed) {
    ByteReader bytes(packed);
    std::uint64_t shards = 0;
    bytes.Get(shards);
    for (std::uint64_t i = 0; i < shards; ++i) {
      int shard = 0;
      bytes.Get(shard);
      ShardSummary& summary = content_.shards[static_cast<std::size_t>(shard)];
      bytes.Get(summary.file_name);
      bytes.Get(summary.counts);
      bytes.Get(summary.by_split);
      bytes.Get(summary.extras);
      bytes.Get(summary.file_bytes);
      bytes.Get(summary.file_crc32c);
      std::uint64_t crcs = 0;
      bytes.Get(crcs);
      summary.crcs.resize(crcs);
      for (auto& [name, crc] : summary.crcs) {
        bytes.Get(name);
        bytes.Get(crc);
      }
      std::uint64_t extents = 0;
      bytes.Get(extents);
      summary.chain_extents.resize(extents);
      for (auto& [offset, size] : summary.chain_extents) {
        bytes.Get(offset);
        bytes.Get(size);
      }
      bytes.Get(summary.structure_crc32c);
    }
  }

  const WriteTask& task_;
  StoreContent content_;
  Sizes sizes_;
  ShardPlan plan_;
  std::optional<ChainShardWriter> writer_;
  int open_shard_ = -1;
  std::map<int, ShardSummary> summaries_;
};

}  // namespace

StoreContent WriteShards(const WriteTask& task) { return ShardsWriter(task).Write(); }

}  // namespace sequela
