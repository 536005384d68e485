// ctest: labels=sanitize timeout=180 arrow
// The store is the same, byte for byte, however many workers, partitions and ranks made it,
// whatever the memory and the order of the files.
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "dataio/ingest/ingest.h"
#include "kernels/base/atomic_file.h"
#include "tests/testing/meds_records.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using testing::MedsRecords;

// Ranks as threads of this process.
class ThreadRanks {
 public:
  explicit ThreadRanks(int count) : count_(count), slots_(static_cast<std::size_t>(count)) {}
  Ranks Of(int index) {
    return {index, count_,
            [this, index](std::string mine) { return Exchange(index, std::move(mine)); }};
  }

 private:
  std::vector<std::string> Exchange(int index, std::string mine) {
    std::unique_lock lock(mutex_);
    slots_[static_cast<std::size_t>(index)] = std::move(mine);
    const int round = round_;
    if (++arrived_ == count_) {
      arrived_ = 0;
      result_ = slots_;
      ++round_;
      lock.unlock();
      turn_.notify_all();
      lock.lock();
    }
    turn_.wait(lock, [&] { return round_ != round; });
    return result_;
  }
  int count_;
  std::vector<std::string> slots_;
  std::vector<std::string> result_;
  std::mutex mutex_;
  std::condition_variable turn_;
  int arrived_ = 0;
  int round_ = 0;
};

class IngestDeterminismTest : public ::testing::Test {
 protected:
  // Records with ties, rare codes, texts, several row groups and subjects across files.
  void WriteRecords(unsigned order_seed) {
    records_ = std::make_unique<MedsRecords>();
    records_->row_group_rows = 500;
    std::mt19937 random(7);
    struct Row {
      std::int64_t subject, time;
      std::string code;
      float value;
      std::string text;
    };
    std::vector<Row> rows;
    for (int i = 0; i < 12'000; ++i) {
      const auto subject = static_cast<std::int64_t>(random() % 150);
      const auto code = "LAB//" + std::to_string(random() % 40 * (random() % 40));
      const float value =
          random() % 3 == 0 ? MedsFileWriter::kNoValue : static_cast<float>(random() % 900) / 7;
      rows.push_back({subject,
                      static_cast<std::int64_t>(random() % 300) * 3600 * MedsRecords::kSecond, code,
                      value, random() % 4 == 0 ? "result" + std::to_string(random() % 5) : ""});
    }
    for (int subject = 0; subject < 150; ++subject) {
      rows.push_back({subject, kStaticTime, subject % 2 == 0 ? "GENDER//F" : "GENDER//M",
                      MedsFileWriter::kNoValue, ""});
    }
    if (order_seed != 0) std::shuffle(rows.begin(), rows.end(), std::mt19937(order_seed));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      // Other orders come in files of other names and sizes too.
      const std::size_t files = 1 + order_seed;
      records_->InFile("part" + std::to_string((i * 7 + order_seed) % files) + ".parquet");
      const Row& row = rows[i];
      records_->Event(row.subject, row.time, row.code, row.value, row.text);
    }
    records_->Write();
  }

  static IngestOptions Options(int workers, int partitions, std::int64_t memory_bytes = 1LL << 30) {
    IngestOptions options;
    options.workers = workers;
    options.partitions = partitions;
    options.memory_bytes = memory_bytes;
    options.shard_bytes = 60'000;  // several shards
    options.settings.min_subjects = 5;
    options.keep_text = true;
    return options;
  }

  // Every file but the manifest (which lists the source's files), by name.
  static std::map<std::string, std::string> FilesOf(const fs::path& store) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(store)) {
      if (entry.path().filename() == "manifest.json") continue;
      files[entry.path().filename().string()] = ReadFile(entry.path());
    }
    return files;
  }

  void ExpectSame(const fs::path& store, const fs::path& expected) {
    const auto a = FilesOf(store);
    const auto b = FilesOf(expected);
    ASSERT_EQ(a.size(), b.size());
    EXPECT_GT(a.size(), 5U);
    for (const auto& [name, content] : b) EXPECT_TRUE(a.at(name) == content) << name;
    EXPECT_EQ(ChainStore::Open(store).content_hash(), ChainStore::Open(expected).content_hash());
  }

  std::unique_ptr<MedsRecords> records_;
};

TEST_F(IngestDeterminismTest, WorkersPartitionsAndMemoryDoNotMatter) {
  WriteRecords(0);
  const fs::path expected = records_->Ingest(Options(1, 1));
  ExpectSame(records_->Ingest(Options(3, 7)), expected);
  ExpectSame(records_->Ingest(Options(2, 16, 64LL << 20)), expected);
}

TEST_F(IngestDeterminismTest, OrderAndNumberOfFilesDoNotMatter) {
  WriteRecords(0);
  const auto first = std::move(records_);
  const fs::path expected = first->Ingest(Options(1, 1));
  for (const unsigned seed : {1U, 4U}) {
    WriteRecords(seed);
    ExpectSame(records_->Ingest(Options(2, 5)), expected);
    EXPECT_GT(testing::Counted(records_->report, "subjects_not_contiguous") +
                  testing::Counted(records_->report, "subjects_in_several_files"),
              0);
  }
}

TEST_F(IngestDeterminismTest, RanksDoNotMatter) {
  WriteRecords(0);
  const fs::path expected = records_->Ingest(Options(1, 1));
  const IngestReport alone = records_->report;
  for (const int count : {2, 3}) {
    ThreadRanks ranks(count);
    const fs::path out = records_->folder().parent_path() / ("ranks" + std::to_string(count));
    std::vector<IngestReport> reports(static_cast<std::size_t>(count));
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < count; ++rank) {
      threads.emplace_back([&, rank] {
        IngestOptions options = Options(1, 8);
        options.source = records_->folder();
        options.out = out;
        options.ranks = ranks.Of(rank);
        reports[static_cast<std::size_t>(rank)] = Ingest(options);
      });
    }
    threads.clear();
    ExpectSame(out, expected);
    for (const IngestReport& report : reports) {
      EXPECT_EQ(report.total_tokens(), alone.total_tokens());
      EXPECT_EQ(report.as_prefix, alone.as_prefix);
      EXPECT_EQ(testing::Counted(report, "duplicates"), testing::Counted(alone, "duplicates"));
    }
  }
}

}  // namespace
}  // namespace sequela
