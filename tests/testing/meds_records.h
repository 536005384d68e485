// A small MEDS dataset, written as a test tells it, and its ingestion.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dataio/ingest/ingest.h"
#include "dataio/meds/meds_writer.h"
#include "dataio/store/chain_store.h"
#include "tests/testing/temp_folder.h"

namespace sequela::testing {

class MedsRecords {
 public:
  static constexpr std::int64_t kSecond = 1'000'000;
  static constexpr std::int64_t kDay = 86'400 * kSecond;

  // Adds an event; time_us may be kStaticTime. `file` is below data/.
  MedsRecords& Event(std::int64_t subject, std::int64_t time_us, const std::string& code,
                     float value = MedsFileWriter::kNoValue, const std::string& text = "") {
    files_[file_].push_back({subject, time_us, code, value, text});
    return *this;
  }
  MedsRecords& InFile(const std::string& file) {
    file_ = file;
    return *this;
  }
  MedsRecords& Given(std::int64_t subject, Split split) {
    splits_.push_back({subject, split});
    return *this;
  }
  MedsRecords& Describe(const MedsCode& code) {
    codes_.push_back(code);
    return *this;
  }

  const std::filesystem::path& Write() {
    std::filesystem::remove_all(folder());
    for (const auto& [name, events] : files_) {
      MedsFileWriter writer(folder() / "data" / name, {true, row_group_rows});
      for (const Row& row : events) {
        writer.Append(row.subject, row.time_us, row.code, row.value,
                      row.text.empty() ? std::string_view() : std::string_view(row.text));
      }
      writer.Finish();
    }
    WriteMedsMetadata(folder(), {"test", "1", "test", "1", ""}, codes_, splits_);
    return folder_;
  }
  const std::filesystem::path& folder() const { return folder_; }

  // Ingests what Write() wrote into a fresh store.
  std::filesystem::path Ingest(IngestOptions options = {}) {
    options.source = folder();
    options.out = root_.path() / ("store" + std::to_string(++stores_));
    report = sequela::Ingest(options);
    return options.out;
  }
  // Write and ingest, all subjects in train unless given otherwise, every code kept.
  ChainStore Store(IngestSettings settings = {}, int min_subjects = 1) {
    Write();
    settings.min_subjects = min_subjects;
    IngestOptions options;
    options.settings = settings;
    return ChainStore::Open(Ingest(options));
  }

  std::int64_t row_group_rows = 1 << 20;
  IngestReport report;

 private:
  struct Row {
    std::int64_t subject;
    std::int64_t time_us;
    std::string code;
    float value;
    std::string text;
  };
  TempFolder root_;
  std::filesystem::path folder_ = root_.path() / "meds";
  std::string file_ = "train/0.parquet";
  std::map<std::string, std::vector<Row>> files_;
  std::vector<MedsSubjectSplit> splits_;
  std::vector<MedsCode> codes_;
  int stores_ = 0;
};

// The texts of a subject's tokens in order.
inline std::vector<std::string> TokensOf(const ChainStore& store, std::int64_t subject) {
  std::vector<std::string> texts;
  const auto index = store.FindSubject(subject);
  if (!index) return texts;
  const ChainView chain = store.chain(*index);
  for (std::int64_t i = 0; i < chain.size(); ++i) {
    texts.push_back(store.vocabulary()[chain.token(i)].text);
  }
  return texts;
}

// The count of a finding by its key, from the report's lines.
inline std::int64_t Counted(const IngestReport& report, const std::string& key) {
  for (const auto* lines : {&report.dropped, &report.warnings, &report.notes}) {
    for (const auto& line : *lines) {
      if (line.key == key) return line.count;
    }
  }
  return 0;
}

}  // namespace sequela::testing
