// ctest: labels=sanitize timeout=180 arrow
// Every case of docs/meds-violations.md, and the good files that must give the same store whatever
// their codec, encoding and types.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "dataio/ingest/ingest.h"
#include "kernels/base/errors.h"
#include "tests/testing/arrow/odd_parquet.h"
#include "tests/testing/meds_records.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::OddColumn;
using testing::OddOptions;
using testing::WriteOddParquet;
using Values = std::vector<std::optional<std::string>>;

class ViolationsTest : public ::testing::Test {
 protected:
  // Three subjects; what a test changes of it.
  OddColumn subject_{"subject_id", "int64", {"1", "1", "2", "2", "3"}};
  OddColumn time_{"time",
                  "timestamp[us]",
                  {std::nullopt, "2020-01-01 00:00:00", "2020-01-01 00:00:00",
                   "2021-05-06 07:08:09", "2020-01-01 00:00:00"}};
  OddColumn code_{"code", "string", {"GENDER//F", "LAB//a", "LAB//a", "LAB//b", "LAB//a"}};
  OddColumn value_{"numeric_value", "float", {std::nullopt, "1.5", "2.25", std::nullopt, "3"}};

  fs::path meds() const { return root_ / "meds"; }
  void Write(const std::string& name = "0.parquet", const OddOptions& options = {}) {
    WriteOddParquet(meds() / "data" / name, {subject_, time_, code_, value_}, options);
  }
  void Reorder(const std::vector<std::size_t>& order) {
    for (OddColumn* column : {&subject_, &time_, &code_, &value_}) {
      Values values;
      for (const std::size_t row : order) values.push_back(column->values[row]);
      column->values = values;
    }
  }
  void WriteSplits(const Values& subjects, const Values& splits) {
    WriteOddParquet(meds() / "metadata" / "subject_splits.parquet",
                    {{"subject_id", "int64", subjects}, {"split", "string", splits}});
  }
  void GiveSplits() { WriteSplits({"1", "2", "3"}, {"train", "train", "train"}); }

  ChainStore Ingest() {
    IngestOptions options;
    options.source = meds();
    options.out = root_ / ("store" + std::to_string(++stores_));
    options.settings.min_subjects = 1;
    report_ = sequela::Ingest(options);
    return ChainStore::Open(options.out);
  }
  std::string Hash() { return Ingest().content_hash(); }
  // The refusal's message; the output must not exist after it.
  std::string Refusal() {
    try {
      Ingest();
    } catch (const InputError& error) {
      EXPECT_FALSE(fs::exists(root_ / ("store" + std::to_string(stores_))));
      EXPECT_FALSE(fs::exists(root_ / ("store" + std::to_string(stores_) + ".partial")));
      return error.what();
    }
    return "accepted";
  }
  std::int64_t Counted(const std::string& key) const { return testing::Counted(report_, key); }

  testing::TempFolder root_;
  IngestReport report_;
  int stores_ = 0;
};

TEST_F(ViolationsTest, CodecsEncodingsAndTypesMakeNoDifference) {
  GiveSplits();
  Write();
  const std::string expected = Hash();
  for (const char* codec : {"uncompressed", "gzip", "brotli", "zstd", "lz4_raw", "lz4_hadoop"}) {
    for (const bool dictionary : {true, false}) {
      Write("0.parquet", {codec, 2, dictionary, true});
      EXPECT_EQ(Hash(), expected) << codec << " " << dictionary;
    }
  }
  for (const char* type : {"large_string", "string_view", "dictionary"}) {
    code_.type = type;
    Write();
    EXPECT_EQ(Hash(), expected) << type;
  }
  code_.type = "string";
  for (const char* type : {"int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64"}) {
    subject_.type = type;
    Write();
    EXPECT_EQ(Hash(), expected) << type;
  }
  for (const char* type :
       {"timestamp[s]", "timestamp[ms]", "timestamp[ns]", "timestamp[us, UTC]"}) {
    time_.type = type;
    Write();
    EXPECT_EQ(Hash(), expected) << type;
  }
  value_.type = "double";
  Write();
  EXPECT_EQ(Hash(), expected);
  EXPECT_EQ(Counted("values_rounded"), 0);
}

TEST_F(ViolationsTest, AbsentOptionalColumnsAreNull) {
  GiveSplits();
  value_.values.assign(5, std::nullopt);
  Write();
  const std::string expected = Hash();
  WriteOddParquet(meds() / "data" / "0.parquet", {subject_, time_, code_});
  EXPECT_EQ(Hash(), expected);
}

TEST_F(ViolationsTest, NestedFoldersAndBareFoldersAreRead) {
  GiveSplits();
  Write();
  const std::string expected = Hash();
  fs::remove(meds() / "data" / "0.parquet");
  Write("a/b/c/x.parquet");
  EXPECT_EQ(Hash(), expected);
}

TEST_F(ViolationsTest, ScatteredUnsortedSubjectsAreGatheredAndCounted) {
  GiveSplits();
  Write();
  const std::string expected = Hash();
  Reorder({4, 3, 1, 2, 0});
  Write();
  EXPECT_EQ(Hash(), expected);
  EXPECT_GT(Counted("subjects_not_contiguous"), 0);
  Reorder({0, 4, 1, 2, 3});
  Write();
  EXPECT_EQ(Hash(), expected);
}

TEST_F(ViolationsTest, ASubjectInTwoFilesIsGatheredAndCounted) {
  GiveSplits();
  Write();
  const std::string expected = Hash();
  const Values subjects = subject_.values, times = time_.values, codes = code_.values,
               values = value_.values;
  const auto part = [&](std::size_t begin, std::size_t end, const std::string& name) {
    const auto cut = [&](const Values& all) {
      return Values(all.begin() + static_cast<std::ptrdiff_t>(begin),
                    all.begin() + static_cast<std::ptrdiff_t>(end));
    };
    subject_.values = cut(subjects);
    time_.values = cut(times);
    code_.values = cut(codes);
    value_.values = cut(values);
    Write(name);
  };
  part(0, 3, "0.parquet");
  part(3, 5, "1.parquet");
  EXPECT_EQ(Hash(), expected);
  EXPECT_EQ(Counted("subjects_in_several_files"), 1);
}

TEST_F(ViolationsTest, ASubjectInTwoSplitsIsRefused) {
  Write("train/0.parquet");
  Write("held_out/0.parquet");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("another split"), HasSubstr("row")));
}

TEST_F(ViolationsTest, ContradictingSplitsAreRefused) {
  Write();
  WriteSplits({"1", "2", "1"}, {"train", "train", "tuning"});
  EXPECT_THAT(Refusal(),
              AllOf(HasSubstr("subject_splits.parquet, row 2"), HasSubstr("two splits")));
  WriteSplits({"1"}, {"trian"});
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("row 0"), HasSubstr("expected train, tuning or held_out"),
                               Not(HasSubstr("trian"))));
  fs::remove(meds() / "data" / "0.parquet");
  Write("train/0.parquet");
  WriteSplits({"1", "2", "3"}, {"train", "held_out", "train"});
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("says held_out"), HasSubstr("train")));
}

TEST_F(ViolationsTest, SubjectsWithoutASplitGoByHashAndAreCounted) {
  Write();
  WriteSplits({"1", "2"}, {"train", "train"});
  Ingest();
  EXPECT_EQ(Counted("subjects_split_by_hash"), 1);
}

TEST_F(ViolationsTest, NoSubjectInTrainIsRefused) {
  Write();
  WriteSplits({"1", "2", "3"}, {"tuning", "tuning", "held_out"});
  EXPECT_THAT(Refusal(), HasSubstr("no subject in the train split"));
}

struct BadColumn {
  const char* name;
  std::function<void(OddColumn& subject, OddColumn& time, OddColumn& code, OddColumn& value)>
      change;
  std::vector<const char*> says;
};

class BadColumnTest : public ViolationsTest, public ::testing::WithParamInterface<BadColumn> {};

TEST_P(BadColumnTest, IsRefusedByFilePlaceAndColumn) {
  GiveSplits();
  GetParam().change(subject_, time_, code_, value_);
  Write();
  const std::string message = Refusal();
  EXPECT_THAT(message, HasSubstr("0.parquet"));
  for (const char* part : GetParam().says) EXPECT_THAT(message, HasSubstr(part));
}

const BadColumn kBadColumns[] = {
    {"null_subject",
     [](auto& s, auto&, auto&, auto&) { s.values[2].reset(); },
     {"row group 0", "'subject_id'", "row 2", "null"}},
    {"null_code",
     [](auto&, auto&, auto& c, auto&) { c.values[3].reset(); },
     {"row group 0", "'code'", "row 3", "null code"}},
    {"empty_code", [](auto&, auto&, auto& c, auto&) { c.values[1] = ""; }, {"row 1", "empty code"}},
    {"bad_utf8_code",
     [](auto&, auto&, auto& c, auto&) { c.values[1] = "\xff\xfe"; },
     {"row 1", "UTF-8"}},
    {"text_subject",
     [](auto& s, auto&, auto&, auto&) { s.type = "string"; },
     {"'subject_id'", "type string", "int64"}},
    {"float_subject",
     [](auto& s, auto&, auto&, auto&) { s.type = "double"; },
     {"'subject_id'", "type double"}},
    {"huge_subject",
     [](auto& s, auto&, auto&, auto&) {
       s.type = "uint64";
       s.values[0] = "18446744073709551615";
     },
     {"'subject_id'", "row 0", "int64"}},
    {"integer_time",
     [](auto&, auto& t, auto&, auto&) {
       t.type = "int64";
       t.values = {"1", "2", "3", "4", "5"};
     },
     {"'time'", "type int64", "timestamp[us]"}},
    {"nanoseconds",
     [](auto&, auto& t, auto&, auto&) {
       t.type = "timestamp[ns]";
       t.values[1] = "2020-01-01 00:00:00.000000001";
     },
     {"'time'", "row 1", "nanoseconds"}},
    {"text_value",
     [](auto&, auto&, auto&, auto& v) { v.type = "string"; },
     {"'numeric_value'", "type string"}},
    {"no_code_column",
     [](auto&, auto&, auto& c, auto&) { c.name = "Code"; },
     {"no column 'code'", "'Code'"}},
    {"two_code_columns",
     [](auto&, auto&, auto&, auto& v) {
       v = {"code", "string", Values(5, "x")};
     },
     {"two columns named 'code'"}},
};
INSTANTIATE_TEST_SUITE_P(Columns, BadColumnTest, ::testing::ValuesIn(kBadColumns),
                         [](const auto& row) { return std::string(row.param.name); });

TEST_F(ViolationsTest, DoublesAreRoundedAndNonFiniteValuesDroppedAndCounted) {
  GiveSplits();
  value_ = {"numeric_value", "double", {"0.1", "nan", "inf", "1e300", "2.5"}};
  Write();
  Ingest();
  EXPECT_EQ(Counted("values_rounded"), 1);
  EXPECT_EQ(Counted("values_not_finite"), 3);
}

TEST_F(ViolationsTest, InvalidTextIsFreeText) {
  GiveSplits();
  WriteOddParquet(
      meds() / "data" / "0.parquet",
      {subject_, time_, code_, value_, {"text_value", "string", {"a", "b", "\xff", "d", "e"}}});
  Ingest();
  EXPECT_EQ(Counted("texts_not_utf8"), 1);
}

TEST_F(ViolationsTest, WhatStandsInTheSplitsIsNotShown) {
  Write();
  WriteOddParquet(meds() / "metadata" / "subject_splits.parquet",
                  {{"subject_id", "string", {"pat7"}}, {"split", "string", {"train"}}});
  EXPECT_THAT(Refusal(),
              AllOf(HasSubstr("'subject_id'"), HasSubstr("string"), Not(HasSubstr("pat7"))));
}

TEST_F(ViolationsTest, DamagedAndTruncatedFilesAreRefusedByName) {
  GiveSplits();
  for (int i = 0; i < 20'000; ++i) {
    subject_.values.push_back(std::to_string(3 + i / 100));
    time_.values.push_back("2022-01-01 00:00:00");
    code_.values.push_back("LAB//" + std::to_string(i % 977));
    value_.values.push_back(std::to_string(i));
  }
  Write("0.parquet", {"uncompressed", 1'000'000, true, true});
  const fs::path file = meds() / "data" / "0.parquet";
  const auto size = fs::file_size(file);
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(size / 2));
  stream.put('\x5a');
  stream.put('\xa5');
  stream.close();
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("0.parquet, row group 0, column"), HasSubstr("damaged")));
  fs::resize_file(file, size / 2);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("0.parquet"), HasSubstr("truncated")));
  fs::resize_file(file, 0);
  EXPECT_THAT(Refusal(), HasSubstr("0.parquet"));
}

TEST_F(ViolationsTest, EmptyDatasetsAreRefused) {
  EXPECT_THAT(Refusal(), HasSubstr("no such folder"));
  fs::create_directories(meds() / "data");
  EXPECT_THAT(Refusal(), HasSubstr("no .parquet files"));
  for (OddColumn* column : {&subject_, &time_, &code_, &value_}) column->values.clear();
  Write();
  EXPECT_THAT(Refusal(), HasSubstr("no events"));
}

TEST_F(ViolationsTest, OtherMedsVersionsAndBrokenMetadataAreRefused) {
  Write();
  fs::create_directories(meds() / "metadata");
  std::ofstream(meds() / "metadata" / "dataset.json") << R"({"meds_version": "0.1.2"})";
  EXPECT_THAT(Refusal(), HasSubstr("0.1.2"));
  std::ofstream(meds() / "metadata" / "dataset.json") << "{";
  EXPECT_THAT(Refusal(), HasSubstr("dataset.json"));
}

TEST_F(ViolationsTest, ModifierColumnsJoinTheCode) {
  GiveSplits();
  std::ofstream(meds() / "metadata" / "dataset.json")
      << R"({"meds_version": "0.4.0", "code_modifier_columns": ["unit"]})";
  WriteOddParquet(meds() / "data" / "0.parquet",
                  {subject_, time_, code_, value_, {"unit", "string", {{}, "mg", "mg", {}, "g"}}});
  const ChainStore store = Ingest();
  std::vector<std::string> codes;
  for (const CodeEntry& entry : store.codes()) codes.push_back(entry.code);
  EXPECT_THAT(codes, ::testing::ElementsAre("GENDER//F", "LAB//a//g", "LAB//a//mg", "LAB//b"));
}

TEST_F(ViolationsTest, CodesKeepWhatCodesParquetSaysWithModifiersToo) {
  GiveSplits();
  std::ofstream(meds() / "metadata" / "dataset.json")
      << R"({"meds_version": "0.4.0", "code_modifier_columns": ["unit"]})";
  WriteOddParquet(meds() / "data" / "0.parquet",
                  {subject_, time_, code_, value_, {"unit", "string", {{}, "mg", "mg", {}, "g"}}});
  const auto descriptions = [&] {
    std::vector<std::string> said;
    const ChainStore store = Ingest();
    for (const CodeEntry& entry : store.codes()) said.push_back(entry.description);
    return said;  // of GENDER//F, LAB//a//g, LAB//a//mg, LAB//b
  };
  const fs::path file = meds() / "metadata" / "codes.parquet";
  WriteOddParquet(file, {{"code", "string", {{}, "LAB//a", "LAB//b"}},
                         {"description", "string", {"all rows", "any a", "b"}}});
  EXPECT_THAT(descriptions(), ::testing::ElementsAre("", "any a", "any a", "b"));
  EXPECT_EQ(Counted("code_rows_without_code"), 1);
  WriteOddParquet(file, {{"code", "string", {"LAB//a", "LAB//a", "LAB//b"}},
                         {"unit", "string", {"mg", {}, {}}},
                         {"description", "string", {"a in mg", "any a", "b"}}});
  EXPECT_THAT(descriptions(), ::testing::ElementsAre("", "any a", "a in mg", "b"));
}

TEST_F(ViolationsTest, AnExistingOutputIsLeftAlone) {
  GiveSplits();
  Write();
  fs::create_directories(root_ / "store1");
  std::ofstream(root_ / "store1" / "precious") << "data";
  try {
    Ingest();
    FAIL() << "overwritten";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("exists already"));
  }
  EXPECT_TRUE(fs::exists(root_ / "store1" / "precious"));
}

}  // namespace
}  // namespace sequela
