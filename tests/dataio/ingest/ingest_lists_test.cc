// ctest: labels=sanitize timeout=120 arrow
// Lists that people give to an ingest: codes, subjects, splits, patterns. Truth: written out by
// hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>

#include "dataio/ingest/splits.h"
#include "tests/testing/meds_records.h"
#include "tests/testing/message_of.h"

namespace sequela {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MedsRecords;
using testing::MessageOf;

constexpr std::int64_t kDay = MedsRecords::kDay;
const std::string kMark = "\xEF\xBB\xBF";

std::filesystem::path WriteList(const MedsRecords& records, const std::string& name,
                                const std::string& text) {
  const auto file = records.folder() / name;
  std::ofstream(file, std::ios::binary) << text;
  return file;
}

TEST(IngestListsTest, AByteOrderMarkIsNoPartOfTheFirstLine) {
  MedsRecords records;
  for (int i = 0; i < 20; ++i) records.Event(i, kDay, "A");
  records.Event(3, 2 * kDay, "RARE").Write();
  IngestOptions options;
  options.settings.min_subjects = 10;
  options.keep_codes_file = WriteList(records, "keep.txt", kMark + "RARE\n");
  options.exclude_subjects = WriteList(records, "exclude.txt", kMark + "5\n");
  std::string splits = kMark + "subject_id,split\n";
  for (int i = 0; i < 20; ++i) splits += fmt::format("{},{}\n", i, i == 7 ? "held_out" : "train");
  options.splits_file = WriteList(records, "splits.csv", splits);
  const ChainStore store = ChainStore::Open(records.Ingest(options));
  EXPECT_NE(store.vocabulary().Find("RARE"), Vocabulary::kNone);
  EXPECT_FALSE(store.FindSubject(5).has_value());
  EXPECT_EQ(records.report.subjects[2], 1);
  EXPECT_THAT(records.report.unmatched, IsEmpty());
}

TEST(IngestListsTest, OtherEncodingsAreRefused) {
  MedsRecords records;
  records.Event(1, kDay, "A").Write();
  const auto bad = WriteList(records, "list.txt", "1\n2\xE9\n");
  EXPECT_THAT(MessageOf([&] { LoadLines(bad); }), HasSubstr("list.txt:2: not UTF-8"));
  EXPECT_THAT(MessageOf([&] { LoadSubjectIds(bad); }), HasSubstr("list.txt:2: not UTF-8"));
  const auto wide = WriteList(records, "wide.txt",
                              std::string("\xFF\xFE"
                                          "1\0\n\0",
                                          6));
  EXPECT_THAT(MessageOf([&] { LoadSubjectIds(wide); }), HasSubstr("UTF-16"));
}

TEST(IngestListsTest, WhatIsNamedAndNotThereIsReported) {
  MedsRecords records;
  for (int i = 0; i < 20; ++i) records.Event(i, kDay, "LAB//SODIUM", 1.0F);
  records.Write();
  IngestOptions options;
  options.settings.min_subjects = 1;
  options.settings.keep_codes = {"^LAB//", "^OUTCOM//"};
  options.settings.static_codes = {"^SEXX$"};
  options.settings.values = {{"^LAB//SODIUM$"}, {"^LAB//SODIUN$"}};
  options.settings.truncations.push_back({"^(X)(Y)$", {1}});
  options.keep_codes_file = WriteList(records, "keep.txt", "LAB//SODIUM\nLAB//SODIUMM\n");
  options.exclude_subjects = WriteList(records, "exclude.txt", "5\n777\n778\n");
  records.Ingest(options);
  EXPECT_THAT(records.report.unmatched,
              ElementsAre("--keep-codes: LAB//SODIUMM (did you mean LAB//SODIUM?)",
                          "static_codes: ^SEXX$", "keep_codes: ^OUTCOM//", "values: ^LAB//SODIUN$",
                          "truncations: ^(X)(Y)$", "--exclude-subjects: 2 of its 3 subject ids"));
}

TEST(IngestListsTest, KeptCodesBesideAFittedVocabularyAreRefused) {
  MedsRecords records;
  records.Event(1, kDay, "A").Write();
  IngestOptions options;
  options.settings.min_subjects = 1;
  const auto base = records.Ingest(options);
  options.vocabulary = base;
  options.keep_codes_file = WriteList(records, "keep.txt", "A\n");
  EXPECT_THAT(MessageOf([&] { records.Ingest(options); }),
              AllOf(HasSubstr("--keep-codes"), HasSubstr("--vocabulary")));
}

// Lowers the number of files that may be open, for a scope.
class FewOpenFiles {
 public:
  explicit FewOpenFiles(rlim_t most) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = most;
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  FewOpenFiles(const FewOpenFiles&) = delete;
  FewOpenFiles& operator=(const FewOpenFiles&) = delete;
  ~FewOpenFiles() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(IngestListsTest, MorePartitionsThanFilesMayBeOpenGiveTheSameStore) {
  MedsRecords records;
  for (int i = 0; i < 500; ++i) {
    records.Event(i, kDay, i % 2 == 0 ? "A" : "B", MedsFileWriter::kNoValue, "a text");
  }
  records.Write();
  IngestOptions options;
  options.settings.min_subjects = 1;
  options.keep_text = true;
  options.partitions = 1;
  const ChainStore plain = ChainStore::Open(records.Ingest(options));
  options.partitions = 300;
  options.workers = 4;
  const FewOpenFiles few(48);
  const ChainStore spread = ChainStore::Open(records.Ingest(options));
  EXPECT_EQ(spread.content_hash(), plain.content_hash());
  EXPECT_EQ(records.report.kept_texts, 500);
}

}  // namespace
}  // namespace sequela
